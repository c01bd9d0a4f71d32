{{- define "pursekeeper.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "pursekeeper.selector" -}}
app.kubernetes.io/name: {{ include "pursekeeper.name" . }}
{{- end }}

{{- define "pursekeeper.labels" -}}
{{ include "pursekeeper.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pursekeeper.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "pursekeeper.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "pursekeeper.name" .) -}}
{{- end }}

{{/* Every wallet that the release runs, as JSON: its ordinal (empty for a Deployment), its Secrets, its policies, its volume. */}}
{{- define "pursekeeper.wallets" -}}
{{- $root := . }}
{{- $name := include "pursekeeper.name" . }}
{{- $wallets := list }}
{{- if .Values.ordinals }}
{{- range $i, $wallet := .Values.ordinals }}
{{- $pod := printf "%s-%d" $name $i }}
{{- $wallets = append $wallets (dict
      "pod" $pod
      "suffix" (printf "-%d" $i)
      "below" (printf "/%s" $pod)
      "file" (printf "%s.yaml" $pod)
      "keystore" $wallet.keystore.secretName
      "passphrase" $wallet.passphrase.secretName
      "policies" ($wallet.policies | default dict)
      "policiesName" ($wallet.existingPoliciesConfigMap | default (printf "%s-policies" $pod))
      "existing" ($wallet.existingPoliciesConfigMap | default "")
      "claim" (printf "pursekeeper-journal-%s" $pod)) }}
{{- end }}
{{- else }}
{{- $wallets = append $wallets (dict
      "pod" $name
      "suffix" ""
      "below" ""
      "file" "pursekeeper.yaml"
      "keystore" (.Values.keystore.secretName | default (printf "%s-keystore" $name))
      "passphrase" (.Values.passphrase.secretName | default (printf "%s-passphrase" $name))
      "policies" .Values.policies
      "policiesName" (.Values.existingPoliciesConfigMap | default (printf "%s-policies" $name))
      "existing" .Values.existingPoliciesConfigMap
      "claim" (.Values.journal.existingClaim | default (printf "%s-journal" $name))) }}
{{- end }}
{{- toJson $wallets }}
{{- end }}
