{{/* Containers and Pods, one definition for all that run vectail. */}}

{{/* Volumes of what vectail reads: its configuration, the token, a certificate */}}
{{- define "vectail.volumes" -}}
- name: vectail-config
  configMap: {name: {{ include "vectail.fullname" . }}-config}
- name: vectail-api
  secret:
    secretName: {{ include "vectail.tokenSecretName" . }}
    defaultMode: 0440
    items: [{key: {{ .Values.api.tokenKey | quote }}, path: token}]
{{- with .Values.api.tlsSecret }}
- name: vectail-tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Folders, no subPath: a token or certificate that changes is taken without a restart. */}}
{{- define "vectail.volumeMounts" -}}
- {name: vectail-config, mountPath: /etc/vectail, readOnly: true}
- {name: vectail-api, mountPath: /run/vectail/api, readOnly: true}
{{- if .Values.api.tlsSecret }}
- {name: vectail-tls, mountPath: /run/vectail/tls, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" . "name" "vectail" "args" LIST "resources" R "env" LIST): a container without its probes */}}
{{- define "vectail.container" -}}
name: {{ .name }}
image: {{ include "vectail.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .args }}
env:
  {{- include "vectail.env" (dict "root" .root "extra" .env) | trim | nindent 2 }}
{{- with .root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
volumeMounts:
  {{- include "vectail.volumeMounts" .root | nindent 2 }}
{{- end -}}

{{/* (dict "root" . "path" "/healthz" "times" T): a look by HTTP */}}
{{- define "vectail.probe" -}}
httpGet: {path: {{ .path }}, port: http, scheme: {{ include "vectail.scheme" .root }}}
{{ toYaml .times }}
{{- end -}}

{{/* (dict "root" . "ready" true): probes and the port they go to */}}
{{- define "vectail.probes" -}}
ports:
  - {name: http, containerPort: {{ .root.Values.api.port }}, protocol: TCP}
startupProbe:
  {{- include "vectail.probe" (dict "root" .root "path" "/healthz" "times" .root.Values.probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "vectail.probe" (dict "root" .root "path" "/healthz" "times" .root.Values.probes.live) | nindent 2 }}
{{- if .ready }}
readinessProbe:
  {{- include "vectail.probe" (dict "root" .root "path" "/readyz" "times" .root.Values.probes.ready) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a Pod carries so that it starts anew with another configuration */}}
{{- define "vectail.checksums" -}}
{{- if .Values.restartOnConfigChange }}
checksum/config: {{ include "vectail.config" . | sha256sum }}
{{- if .Values.secrets }}
checksum/secret: {{ toJson .Values.secrets | sha256sum }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every Pod has, whatever it runs */}}
{{- define "vectail.podBase" -}}
serviceAccountName: {{ include "vectail.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
volumes:
  {{- include "vectail.volumes" . | nindent 2 }}
{{- end -}}

{{/* (dict "root" . "own" VALUES "component" "worker"): where Pods may run */}}
{{- define "vectail.placement" -}}
{{- $values := .root.Values -}}
{{- with .own.priorityClassName | default $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .own.nodeSelector | default $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations | default $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .component }}
{{- include "vectail.apart" . }}
{{- end }}
{{- end -}}

{{/* Pods of a component on different nodes and in different zones */}}
{{- define "vectail.apart" -}}
{{- $values := .root.Values -}}
{{- $labels := printf "%s\napp.kubernetes.io/component: %s" (include "vectail.selector" .root) .component | fromYaml -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- if .own.affinity }}
affinity:
  {{- toYaml .own.affinity | nindent 2 }}
{{- else if eq $values.antiAffinity "hard" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      {{- list $term | toYaml | nindent 6 }}
{{- else if eq $values.antiAffinity "soft" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- list (dict "weight" 100 "podAffinityTerm" $term) | toYaml | nindent 6 }}
{{- end }}
{{- if .own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .own.topologySpreadConstraints | nindent 2 }}
{{- else if $values.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: {{ $values.topologySpread.maxSkew }}
    topologyKey: {{ $values.topologySpread.topologyKey }}
    whenUnsatisfiable: {{ $values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- toYaml $labels | nindent 8 }}
{{- end }}
{{- end -}}

{{/* (dict "root" . "component" "worker" "roles" "work,serve"): the Pod of a workload that goes on for ever */}}
{{- define "vectail.podTemplate" -}}
{{- $root := .root -}}
{{- $own := get $root.Values .component -}}
{{- $args := concat (list "run" "-c" "/etc/vectail/vectail.yaml" "--roles" .roles) $own.extraArgs -}}
{{- $annotations := mergeOverwrite dict $root.Values.podAnnotations $own.podAnnotations (include "vectail.checksums" $root | fromYaml) -}}
metadata:
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- include "vectail.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- include "vectail.httpLabels" $root | nindent 4 }}
    {{- with $own.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "vectail.podBase" $root | nindent 2 }}
  {{- include "vectail.placement" (dict "root" $root "own" $own "component" .component) | trim | nindent 2 }}
  terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
  {{- with $root.Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{ include "vectail.container" (dict "root" $root "name" "vectail" "args" $args "resources" $own.resources "env" $own.extraEnv) | nindent 6 | trim }}
      {{- include "vectail.probes" (dict "root" $root "ready" true) | nindent 6 }}
      {{- if and (gt (int $own.preStopSleepSeconds) 0) (semverCompare ">=1.30.0-0" $root.Capabilities.KubeVersion.Version) }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ $own.preStopSleepSeconds }}}
      {{- end }}
    {{- with $root.Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
