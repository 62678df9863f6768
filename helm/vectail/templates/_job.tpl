{{/* (dict "root" . "component" "rebuild" "init" CONTAINERS "main" CONTAINER): a Pod that ends.
Nothing in it changes with the chart's version alone: a Job cannot be changed. */}}
{{- define "vectail.jobPod" -}}
metadata:
  labels:
    {{- include "vectail.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  {{- with .root.Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  {{- include "vectail.podBase" .root | nindent 2 }}
  {{- with include "vectail.placement" (dict "root" .root "own" dict "component" "") | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .init }}
  initContainers:
    {{- range . }}
    - {{ include "vectail.container" . | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    - {{ include "vectail.container" .main | nindent 6 | trim }}
{{- end -}}

{{/* The commands of a rebuild, one container each: there is no shell in the image, and none is needed. */}}
{{- define "vectail.rebuildPod" -}}
{{- $rebuild := .Values.rebuild -}}
{{- $words := list $rebuild.family $rebuild.label -}}
{{- $create := concat (list "create") $words (list "--embed" $rebuild.embedder (printf "--wait=%s" $rebuild.wait)) -}}
{{- if $rebuild.store -}}
{{- $create = concat $create (list "--store" $rebuild.store) -}}
{{- end -}}
{{- $steps := list (dict "name" "create" "args" $create) (dict "name" "verify" "args" (concat (list "verify") $words)) -}}
{{- if $rebuild.cutover -}}
{{- $steps = append $steps (dict "name" "cutover" "args" (concat (list "cutover") $words (list (printf "--wait=%s" $rebuild.cutoverWait)))) -}}
{{- end -}}
{{- range $steps -}}
{{- $_ := set . "root" $ -}}
{{- $_ := set . "resources" $rebuild.resources -}}
{{- end -}}
{{- include "vectail.jobPod" (dict "root" . "component" "rebuild" "init" (initial $steps) "main" (last $steps)) -}}
{{- end -}}
