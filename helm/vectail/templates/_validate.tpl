{{/* What values.schema.json cannot say. Every message begins with the key. */}}
{{- define "vectail.validate" -}}
{{- $values := .Values -}}
{{- $config := default dict $values.config -}}
{{- if kindIs "invalid" $values.config -}}
{{- fail "config: write the configuration here (docs/configuration.md)" -}}
{{- end -}}
{{- $_ := required "config.name: name the deployment; it begins every topic, group and lease" $config.name -}}
{{- range list "instance" "roles" "serve" -}}
{{- if hasKey $config . -}}
{{- fail (printf "config.%s: the chart sets it (see `api` for `serve`); take it out" .) -}}
{{- end -}}
{{- end -}}
{{- include "vectail.noSecrets" (dict "value" $config "path" "config") -}}
{{- if and $values.existingSecret $values.secrets -}}
{{- fail "secrets: existingSecret is given, too; one of them holds the secrets" -}}
{{- end -}}
{{- if not (or $values.existingSecret $values.api.tokenSecret (hasKey $values.secrets $values.api.tokenKey)) -}}
{{- $_ = required (printf "api.tokenSecret: who may ask for what is decided by a token: name the Secret that holds it under %s (or let existingSecret hold it)" $values.api.tokenKey) "" -}}
{{- end -}}
{{- include "vectail.validateMode" . -}}
{{- include "vectail.validateScaled" . -}}
{{- include "vectail.validateWorkers" . -}}
{{- include "vectail.validateTogether" . -}}
{{- end -}}

{{- define "vectail.validateMode" -}}
{{- $memory := eq (dig "worklog" "driver" "kafka" .Values.config) "memory" -}}
{{- if and $memory (eq .Values.mode "cluster") (or .Values.capture.enabled .Values.worker.enabled) -}}
{{- fail "config.worklog.driver: with memory, capture and work are one process: take mode sidecar, or kafka" -}}
{{- end -}}
{{- if eq .Values.mode "sidecar" -}}
{{- range list "rebuild" "once" "networkPolicy" "ingress" "httpRoute" -}}
{{- if (get $.Values .).enabled -}}
{{- fail (printf "%s.enabled: there is no workload of the chart's own in mode sidecar" .) -}}
{{- end -}}
{{- end -}}
{{- if .Values.metrics.serviceMonitor.enabled -}}
{{- fail "metrics.serviceMonitor.enabled: there is no Service of the chart's own in mode sidecar; take metrics.podMonitor" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An autoscaler needs something to scale. */}}
{{- define "vectail.validateScaled" -}}
{{- range $key, $kinds := dict "worker" (list "hpa" "keda") "serve" (list "hpa") -}}
{{- $own := get $.Values $key -}}
{{- range $kinds -}}
{{- if (get $own.autoscaling .).enabled -}}
{{- $enabled := printf "%s.autoscaling.%s.enabled" $key . -}}
{{- if eq $.Values.mode "sidecar" -}}
{{- fail (printf "%s: there is no workload of the chart's own in mode sidecar" $enabled) -}}
{{- else if not $own.enabled -}}
{{- fail (printf "%s: it scales the Pods of `%s`, which is not enabled" $enabled $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vectail.validateWorkers" -}}
{{- $scaling := .Values.worker.autoscaling -}}
{{- if and $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- fail "worker.autoscaling.hpa.enabled: KEDA makes a HorizontalPodAutoscaler of its own; enable one of them" -}}
{{- end -}}
{{- if and .Values.worker.enabled (not (or $scaling.hpa.enabled $scaling.keda.enabled)) -}}
{{- $_ := include "vectail.maxWorkers" (dict "root" . "key" "worker.replicas" "value" .Values.worker.replicas) -}}
{{- end -}}
{{- $keda := $scaling.keda -}}
{{- if and $keda.enabled (not (or $keda.kafka.groups $keda.prometheus.serverAddress $keda.extraTriggers)) -}}
{{- fail "worker.autoscaling.keda: name consumer groups (kafka.groups), a Prometheus (prometheus.serverAddress) or extraTriggers" -}}
{{- end -}}
{{- $scraped := or .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- if and $keda.enabled $keda.prometheus.serverAddress (not (or $keda.prometheus.query $scraped)) -}}
{{- fail (printf "worker.autoscaling.keda.prometheus.query: the default asks for job=%q, which metrics.podMonitor or metrics.serviceMonitor makes: enable one of them, or write the query" (include "vectail.job" .)) -}}
{{- end -}}
{{- range $name := list "hpa" "keda" -}}
{{- $bounds := get $scaling $name -}}
{{- $key := printf "worker.autoscaling.%s" $name -}}
{{- $most := include "vectail.maxWorkers" (dict "root" $ "key" (printf "%s.maxReplicas" $key) "value" $bounds.maxReplicas) | int -}}
{{- if and $bounds.enabled (gt (int $bounds.minReplicas) $most) -}}
{{- fail (printf "%s.minReplicas: %d is more than the greatest, %d" $key (int $bounds.minReplicas) $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "vectail.validateTogether" -}}
{{- $values := .Values -}}
{{- range list "ingress" "httpRoute" -}}
{{- if and (get $values .).enabled (not $values.serve.enabled) -}}
{{- fail (printf "%s.enabled: it leads to the Service of `serve`, which is not enabled" .) -}}
{{- end -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateways that it belongs to" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail "ingress.hosts: name the hosts" -}}
{{- end -}}
{{- if and $values.metrics.podMonitor.enabled $values.metrics.serviceMonitor.enabled -}}
{{- fail "metrics.serviceMonitor.enabled: with the PodMonitor every Pod would be scraped twice; enable one of them" -}}
{{- end -}}
{{- if $values.rebuild.enabled -}}
{{- range list "family" "label" "embedder" -}}
{{- if not (get $values.rebuild .) -}}
{{- fail (printf "rebuild.%s: is needed" .) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey (default dict $values.config.families) $values.rebuild.family) -}}
{{- fail (printf "rebuild.family: config.families has no %s" $values.rebuild.family) -}}
{{- end -}}
{{- if not (hasKey (default dict $values.config.embedders) $values.rebuild.embedder) -}}
{{- fail (printf "rebuild.embedder: config.embedders has no %s" $values.rebuild.embedder) -}}
{{- end -}}
{{- end -}}
{{- if lt (int $values.serve.terminationGracePeriodSeconds) (add 15 (int $values.serve.preStopSleepSeconds) | int) -}}
{{- fail "serve.terminationGracePeriodSeconds: less than 15 and preStopSleepSeconds" -}}
{{- end -}}
{{- end -}}
