{{/* The configuration: what is refused in it, what the chart adds, and which environment it needs. */}}

{{/* vectail.yaml, with what the chart knows better than the one who writes `config` */}}
{{- define "vectail.config" -}}
{{- $serve := dict "listen" (printf "%s:%d" .Values.api.bindAddress (int .Values.api.port)) -}}
{{- $_ := set $serve "token_file" "/run/vectail/api/token" -}}
{{- if .Values.api.tlsSecret -}}
{{- $_ := set $serve "tls" (dict "cert_file" "/run/vectail/tls/tls.crt" "key_file" "/run/vectail/tls/tls.key") -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "instance" "${HOSTNAME}" -}}
{{- $_ := set $config "serve" $serve -}}
{{ toYaml $config }}
{{- end -}}

{{/* (dict "root" . "exempt" (list NAMES)): JSON of {"names": {NAME: whether it has a default}} */}}
{{- define "vectail.variables" -}}
{{- $names := dict -}}
{{- range regexFindAll "\\$?\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-)?" (include "vectail.config" .) -1 -}}
{{- if not (hasPrefix "$$" .) -}}
{{- $optional := hasSuffix ":-" . -}}
{{- $name := . | trimPrefix "${" | trimSuffix ":-" -}}
{{- if ne $name "HOSTNAME" -}}
{{- $_ := set $names $name (and $optional (dig $name true $names)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toJson $names }}
{{- end -}}

{{/*
(dict "root" . "extra" LIST): the environment of a container. HOSTNAME is the Pod's name, also where a Pod has the
network of its node: the configuration takes its `instance` from it.
*/}}
{{- define "vectail.env" -}}
{{- $root := .root -}}
{{- $own := dict -}}
{{- range concat $root.Values.extraEnv (default list .extra) -}}
{{- $_ := set $own .name true -}}
{{- end -}}
{{- if not $own.HOSTNAME }}
- name: HOSTNAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
{{- end }}
- name: VECTAIL_CONFIG
  value: /etc/vectail/vectail.yaml
{{- $values := $root.Values.secrets }}
{{- range $name, $optional := include "vectail.variables" $root | fromJson }}
{{- if not (hasKey $own $name) }}
{{- $inline := and (not $root.Values.existingSecret) (hasKey $values $name) }}
{{- $elsewhere := or $optional (not (empty $root.Values.extraEnvFrom)) }}
{{- if or $inline $root.Values.existingSecret }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "vectail.secretName" $root }}
      key: {{ $name }}
      {{- if and $elsewhere (not $inline) }}
      optional: true
      {{- end }}
{{- else if not $elsewhere }}
{{- $_ := required (printf "existingSecret: `config` names ${%s}: name a Secret that holds the key %s (or set secrets.%s, for a trial; or extraEnv, if it is no secret)" $name $name $name) "" }}
{{- end }}
{{- end }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
(dict "value" X "path" "config"): refuses what looks like a secret, wherever it stands. A ConfigMap is read by many;
`${NAME}` is what belongs there.
*/}}
{{- define "vectail.noSecrets" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- include "vectail.noSecrets" (dict "value" $value "path" (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "vectail.noSecrets" (dict "value" $value "path" (printf "%s[%d]" $path $index)) -}}
{{- end -}}
{{- else if kindIs "string" .value -}}
{{- $shown := regexReplaceAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-)?\\}" .value "" -}}
{{- $name := $path | splitList "." | last | lower -}}
{{- $secret := regexMatch "(^|[._-])(token|api_?key|password|passphrase|secret|authorization)$" $name -}}
{{- $secret = or $secret (regexMatch "^config\\.worklog\\.properties\\.(.*\\.)?(sasl\\.(jaas|oauthbearer)\\.config|ssl\\.key(store)?\\.pem)$" $path) -}}
{{- $secret = or $secret (regexMatch "^config\\.stores\\..*\\.headers\\..*(?i:authorization|token|key|secret|password|cookie)" $path) -}}
{{- if and $secret (ne (trim $shown) "") (not (regexMatch "^(Bearer|Basic) *$" $shown)) -}}
{{- fail (printf "%s: looks like a secret, and a ConfigMap is no place for one: write ${NAME} and put it into the Secret (existingSecret)" $path) -}}
{{- end -}}
{{- if regexMatch "://[^/?#@\\s]*:[^/?#@\\s]+@" $shown -}}
{{- fail (printf "%s: an address with a password in it: write ${NAME} and put all of it into the Secret (existingSecret)" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
