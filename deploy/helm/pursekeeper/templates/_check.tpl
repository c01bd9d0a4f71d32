{{/* What must be true of the values together. Included by every workload. */}}
{{- define "pursekeeper.check" -}}
{{- $wallets := include "pursekeeper.wallets" . | fromJsonArray }}
{{- if .Values.ordinals }}
{{- if and (ne (int .Values.replicas) (len .Values.ordinals)) (eq .Values.journal.job "none") }}
{{- fail (printf "replicas is %d and there are %d ordinals: every replica needs a wallet and a journal of its own. Add to `ordinals`, or make them the same number" (int .Values.replicas) (len .Values.ordinals)) }}
{{- end }}
{{- if or .Values.keystore.secretName .Values.passphrase.secretName .Values.policies .Values.existingPoliciesConfigMap .Values.journal.existingClaim }}
{{- fail "with `ordinals`, the Secrets and policies stand in each of them: remove `keystore`, `passphrase`, `policies`, `existingPoliciesConfigMap` and `journal.existingClaim`" }}
{{- end }}
{{- else if gt (int .Values.replicas) 1 }}
{{- fail (printf "replicas is %d, but there is one wallet with one journal: two sidecars could spend its budget twice. Use replicas 1, or give every replica a wallet of its own with `ordinals`" (int .Values.replicas)) }}
{{- end }}
{{- $seen := dict }}
{{- range $wallet := $wallets }}
{{- range $what := list "keystore" "passphrase" }}
{{- $secret := get $wallet $what }}
{{- if hasKey $seen $secret }}
{{- fail (printf "the Secret `%s` is named twice: every wallet has a keystore of its own, and passphrases lie in other Secrets than keystores" $secret) }}
{{- end }}
{{- $_ := set $seen $secret true }}
{{- end }}
{{- if and (not $wallet.existing) (not (hasKey $wallet.policies "registry.yaml")) }}
{{- fail (printf "there is no registry.yaml for `%s`: give `policies` with that key, or name a ConfigMap in `existingPoliciesConfigMap`" $wallet.pod) }}
{{- end }}
{{- end }}
{{- if has (int .Values.agent.uid) (list 65532 65533) }}
{{- fail (printf "agent.uid is %d, which is the sidecar's or the operator's: whoever spends must not govern. Use another one" (int .Values.agent.uid)) }}
{{- end }}
{{- if has .Values.agent.name (list "pursekeeper" "pursekeeper-operator") }}
{{- fail (printf "agent.name is `%s`, which is a container of the chart: use another one" .Values.agent.name) }}
{{- end }}
{{- $own := list }}
{{- range .Values.volumes }}{{ $own = append $own .name }}{{ end }}
{{- $foreign := toJson (list .Values.volumes .Values.agent) }}
{{- range $wallet := $wallets }}
{{- range $what := list "keystore" "passphrase" "claim" }}
{{- if contains (get $wallet $what | quote) $foreign }}
{{- fail (printf "`volumes` or `agent` names `%s`: keys, passphrases and the journal are for the sidecar alone" (get $wallet $what)) }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.agent.volumeMounts }}
{{- if not (has .name $own) }}
{{- fail (printf "agent.volumeMounts names `%s`, which is not in `volumes`: what belongs to the sidecar is mounted there alone" .name) }}
{{- end }}
{{- end }}
{{- if not .Values.agent.image }}
{{- fail "agent.image is empty: name the image of your agent" }}
{{- end }}
{{- end }}
