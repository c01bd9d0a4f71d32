{{- define "pursekeeper.security" -}}
runAsUser: {{ .uid }}
runAsGroup: {{ .gid }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "pursekeeper.podSecurity" -}}
runAsNonRoot: true
fsGroup: {{ .Values.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "pursekeeper.podName" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- end }}

{{/* The pod of the Deployment and of the StatefulSet. */}}
{{- define "pursekeeper.pod" -}}
{{- $wallets := include "pursekeeper.wallets" . | fromJsonArray }}
metadata:
  labels:
    {{- include "pursekeeper.selector" . | nindent 4 }}
  annotations:
    # pursekeeper.yaml is read at start, so that another one is another pod.
    checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "pursekeeper.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "pursekeeper.podSecurity" . | nindent 4 }}
  initContainers:
    - name: pursekeeper
      image: {{ include "pursekeeper.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      restartPolicy: Always
      {{- if .Values.ordinals }}
      args: [serve, --config, /etc/pursekeeper/$(POD_NAME).yaml]
      env:
        {{- include "pursekeeper.podName" . | nindent 8 }}
      {{- else }}
      args: [serve, --config, /etc/pursekeeper/pursekeeper.yaml]
      {{- end }}
      ports:
        - { name: health, containerPort: 9465 }
      startupProbe:
        httpGet: { path: /startupz, port: health }
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /livez, port: health }
        periodSeconds: 10
        timeoutSeconds: 2
        failureThreshold: 3
      readinessProbe:
        httpGet: { path: /readyz, port: health }
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "pursekeeper.security" (dict "uid" 65532 "gid" 65532) | nindent 8 }}
      volumeMounts:
        - { name: pursekeeper-config, mountPath: /etc/pursekeeper, readOnly: true }
        {{- range $wallets }}
        - { name: pursekeeper-policies{{ .suffix }}, mountPath: /etc/pursekeeper/policies{{ .below }}, readOnly: true }
        - { name: pursekeeper-keystore{{ .suffix }}, mountPath: /var/run/secrets/pursekeeper/keystore{{ .below }}, readOnly: true }
        - { name: pursekeeper-passphrase{{ .suffix }}, mountPath: /var/run/secrets/pursekeeper-passphrase{{ .below }}, readOnly: true }
        {{- end }}
        - { name: pursekeeper-issuer, mountPath: /var/run/secrets/pursekeeper-issuer, readOnly: true }
        - { name: pursekeeper-journal, mountPath: /var/lib/pursekeeper }
        - { name: pursekeeper-agent, mountPath: /var/run/pursekeeper/agent }
        - { name: pursekeeper-operator, mountPath: /var/run/pursekeeper/operator }
    {{- if .Values.operator.enabled }}
    - name: pursekeeper-operator
      image: {{ include "pursekeeper.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      restartPolicy: Always
      {{- if .Values.ordinals }}
      args: [audit, tail, --follow, --output, json]
      env:
        {{- include "pursekeeper.podName" . | nindent 8 }}
        - { name: PURSEKEEPER_CONFIG, value: /etc/pursekeeper/$(POD_NAME).yaml }
      {{- else }}
      args: [audit, tail, --follow, --output, json, --config, /etc/pursekeeper/pursekeeper.yaml]
      {{- end }}
      resources:
        {{- toYaml .Values.operator.resources | nindent 8 }}
      securityContext:
        {{- include "pursekeeper.security" (dict "uid" 65533 "gid" 65533) | nindent 8 }}
      volumeMounts:
        - { name: pursekeeper-config, mountPath: /etc/pursekeeper, readOnly: true }
        - { name: pursekeeper-operator, mountPath: /var/run/pursekeeper/operator, readOnly: true }
    {{- end }}
  containers:
    - name: {{ .Values.agent.name }}
      image: {{ .Values.agent.image }}
      imagePullPolicy: {{ .Values.agent.pullPolicy }}
      {{- with .Values.agent.command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.agent.args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        - { name: PURSEKEEPER_SOCKET, value: /var/run/pursekeeper/agent/agent.sock }
        - { name: PURSEKEEPER_TOKEN_FILE, value: /var/run/secrets/pursekeeper-agent/token }
        {{- with .Values.agent.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.agent.ports }}
      ports:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml .Values.agent.resources | nindent 8 }}
      securityContext:
        {{- include "pursekeeper.security" .Values.agent | nindent 8 }}
      volumeMounts:
        - { name: pursekeeper-agent, mountPath: /var/run/pursekeeper/agent, readOnly: true }
        - { name: pursekeeper-token, mountPath: /var/run/secrets/pursekeeper-agent, readOnly: true }
        {{- with .Values.agent.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: pursekeeper-config
      configMap: { name: {{ include "pursekeeper.name" . }}-pursekeeper }
    {{- range $wallets }}
    - name: pursekeeper-policies{{ .suffix }}
      configMap: { name: {{ .policiesName }} }
    - name: pursekeeper-keystore{{ .suffix }}
      secret: { secretName: {{ .keystore }}, defaultMode: 0400 }
    - name: pursekeeper-passphrase{{ .suffix }}
      secret: { secretName: {{ .passphrase }}, defaultMode: 0400 }
    {{- if not $.Values.ordinals }}
    - name: pursekeeper-journal
      persistentVolumeClaim: { claimName: {{ .claim }} }
    {{- end }}
    {{- end }}
    - name: pursekeeper-agent
      emptyDir: { medium: Memory, sizeLimit: 1Mi }
    - name: pursekeeper-operator
      emptyDir: { medium: Memory, sizeLimit: 1Mi }
    - name: pursekeeper-token
      projected:
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ .Values.agent.token.audience }}
              expirationSeconds: {{ .Values.agent.token.expirationSeconds }}
    - name: pursekeeper-issuer
      projected:
        sources:
          - serviceAccountToken: { path: token, expirationSeconds: 3600 }
          - configMap:
              name: kube-root-ca.crt
              items: [{ key: ca.crt, path: ca.crt }]
    {{- with .Values.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
