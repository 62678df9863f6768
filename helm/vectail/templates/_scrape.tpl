{{/* (dict "root" . "own" VALUES): an endpoint of a PodMonitor or ServiceMonitor */}}
{{- define "vectail.scrape" -}}
port: http
path: /metrics
scheme: {{ include "vectail.scheme" .root | lower }}
{{- if .root.Values.api.tlsSecret }}
# A Pod's address is in no certificate.
tlsConfig: {insecureSkipVerify: true}
{{- end }}
{{- with .own.interval }}
interval: {{ . }}
{{- end }}
{{- with .own.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
relabelings:
  # One job for each deployment, as the rules and the dashboard ask for.
  - {targetLabel: job, replacement: {{ include "vectail.job" .root }}}
  {{- with .own.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .own.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
