{{/*
For a chart that depends on this one, with `mode: sidecar`. In the Pod template of that chart:

    metadata:
      labels:
        {{- include "vectail.sidecar.labels" .Subcharts.vectail | nindent 8 }}
      annotations:
        {{- include "vectail.sidecar.annotations" .Subcharts.vectail | nindent 8 }}
    spec:
      initContainers:      (with sidecar.native: false it belongs to `containers`: as an initContainer it would be refused)
        - {{ include "vectail.sidecar.container" .Subcharts.vectail | nindent 10 | trim }}
      volumes:
        {{- include "vectail.sidecar.volumes" .Subcharts.vectail | nindent 8 }}
*/}}

{{/* Of the Pod, so that a PodMonitor of this chart finds it; not in a selector. */}}
{{- define "vectail.sidecar.labels" -}}
{{- include "vectail.httpLabels" . -}}
{{- end -}}

{{- define "vectail.sidecar.annotations" -}}
{{- include "vectail.checksums" . -}}
{{- end -}}

{{- define "vectail.sidecar.volumes" -}}
{{- include "vectail.volumes" . -}}
{{- end -}}

{{- define "vectail.sidecar.container" -}}
{{- $own := .Values.sidecar -}}
{{- $args := concat (list "run" "-c" "/etc/vectail/vectail.yaml") $own.extraArgs -}}
{{ include "vectail.container" (dict "root" . "name" "vectail" "args" $args "resources" $own.resources "env" $own.extraEnv) }}
{{ include "vectail.probes" (dict "root" . "ready" $own.gatePodReadiness) }}
{{- if $own.native }}
restartPolicy: Always
{{- end }}
{{- end -}}
