{{/* Names, labels, and what several templates ask of the values. Every define is `vectail.NOUN`. */}}

{{- define "vectail.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters: a StatefulSet's name with the hash of its revision has to fit into a label. */}}
{{- define "vectail.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "vectail.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vectail.selector" -}}
app.kubernetes.io/name: {{ include "vectail.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vectail.labels" -}}
{{ include "vectail.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: vectail
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of Pods that answer by HTTP; also of one that runs vectail beside something else. Never in a selector of Pods. */}}
{{- define "vectail.httpLabels" -}}
vectail/http: "true"
vectail/release: {{ .Release.Name }}
{{- end -}}

{{/* (dict "root" . "component" "worker"): the metadata of an object of one component */}}
{{- define "vectail.metadata" -}}
name: {{ include "vectail.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "vectail.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "vectail.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "vectail.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "vectail.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The Secret that holds what `${NAME}` in the configuration stands for. */}}
{{- define "vectail.secretName" -}}
{{- .Values.existingSecret | default (printf "%s-env" (include "vectail.fullname" .)) -}}
{{- end -}}

{{- define "vectail.tokenSecretName" -}}
{{- .Values.api.tokenSecret | default (include "vectail.secretName" .) -}}
{{- end -}}

{{- define "vectail.scheme" -}}
{{- if .Values.api.tlsSecret }}HTTPS{{ else }}HTTP{{ end -}}
{{- end -}}

{{/* How many workers can share a version: the partitions of its topic. */}}
{{- define "vectail.partitions" -}}
{{- dig "worklog" "partitions" 0 .Values.config | default 8 | int -}}
{{- end -}}

{{/* (dict "root" . "key" "worker.autoscaling.keda.maxReplicas" "value" …): the bound, never above the partitions */}}
{{- define "vectail.maxWorkers" -}}
{{- $partitions := include "vectail.partitions" .root | int -}}
{{- if gt (int .value) $partitions -}}
{{- fail (printf "%s: %d workers cannot share %d partitions (config.worklog.partitions); those beyond would do nothing" .key (int .value) $partitions) -}}
{{- end -}}
{{- default $partitions .value | int -}}
{{- end -}}

{{/* One job for each deployment, as the rules and the dashboard ask for. */}}
{{- define "vectail.job" -}}
{{- printf "vectail/%s/%s" .Release.Namespace .Release.Name -}}
{{- end -}}

{{/* The lag of all versions that workers feed: every process says the same, and a paused one waits for a person. */}}
{{- define "vectail.lagQuery" -}}
{{- $job := include "vectail.job" . -}}
{{- printf "sum(max by (family, version) (vectail_worklog_lag_items{job=%q}) * on (family, version) (1 - max by (family, version) (vectail_version_paused{job=%q})))" $job $job -}}
{{- end -}}

{{- define "vectail.kedaFallback" -}}
{{- $keda := .Values.worker.autoscaling.keda -}}
{{- $most := include "vectail.maxWorkers" (dict "root" . "key" "worker.autoscaling.keda.maxReplicas" "value" $keda.maxReplicas) | int -}}
{{- $keda.fallback.replicas | default .Values.worker.replicas | max (int $keda.minReplicas) | min $most -}}
{{- end -}}

{{/* One Pod in five minutes: every step moves partitions from worker to worker. */}}
{{- define "vectail.scaleBehavior" -}}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 300}
{{- end -}}
