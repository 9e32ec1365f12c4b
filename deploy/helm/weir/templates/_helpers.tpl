{{- define "weir.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* What Weir would refuse at its start is refused here. */ -}}
{{- define "weir.check" -}}
{{- if and (not .Values.tls.existingSecret) (not .Values.trustedProxies) -}}
{{- fail "set tls.existingSecret, or trustedProxies to the networks of the proxies that terminate TLS: Weir serves no plain HTTP to others" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.database.existingSecret) -}}
{{- fail "more than one server takes PostgreSQL: set database.existingSecret" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.tls.existingSecret) -}}
{{- fail "serviceMonitor takes tls.existingSecret: behind a proxy that terminates TLS, metrics are served through the proxy alone" -}}
{{- end -}}
{{- end }}

{{- define "weir.pod" -}}
metadata:
  labels:
    {{- include "weir.labels" . | nindent 4 }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  automountServiceAccountToken: false
  # Requests under way have 20 seconds.
  terminationGracePeriodSeconds: 30
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: weir
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      ports:
        - {name: api, containerPort: 8080, protocol: TCP}
      env:
        - {name: WEIR_LISTEN, value: "0.0.0.0:8080"}
        - {name: WEIR_DATA_DIR, value: /data}
        - {name: WEIR_LOG_FORMAT, value: json}
        - {name: WEIR_PUBLIC_URL, value: {{ .Values.publicURL | quote }}}
        {{- with .Values.resources.limits }}{{ if .memory }}
        - {name: GOMEMLIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
        {{- end }}{{ end }}
        {{- if .Values.database.existingSecret }}
        - name: WEIR_DATABASE_URL
          valueFrom: {secretKeyRef: {name: {{ .Values.database.existingSecret }}, key: url}}
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - {name: WEIR_TLS_CERT, value: /tls/tls.crt}
        - {name: WEIR_TLS_KEY, value: /tls/tls.key}
        {{- end }}
        {{- if .Values.trustedProxies }}
        - {name: WEIR_TRUSTED_PROXY, value: {{ join "," .Values.trustedProxies | quote }}}
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        - {name: WEIR_{{ $name | replace "-" "_" | upper }}, value: {{ $value | toString | quote }}}
        {{- end }}
      {{- with .Values.existingSecret }}
      envFrom:
        - secretRef: {name: {{ . }}}
      {{- end }}
      startupProbe:
        {{- include "weir.probe" (dict "path" "/readyz" "root" .) | nindent 8 }}
        periodSeconds: 1
        failureThreshold: 300
      readinessProbe:
        {{- include "weir.probe" (dict "path" "/readyz" "root" .) | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 3
      livenessProbe:
        {{- include "weir.probe" (dict "path" "/healthz" "root" .) | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 3
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        {{- if .Values.tls.existingSecret }}
        - {name: tls, mountPath: /tls, readOnly: true}
        {{- end }}
  volumes:
    {{- if .Values.database.existingSecret }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret: {secretName: {{ .Values.tls.existingSecret }}, defaultMode: 0440}
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

{{- define "weir.probe" -}}
httpGet: {path: {{ .path }}, port: api, scheme: {{ ternary "HTTPS" "HTTP" (not (empty .root.Values.tls.existingSecret)) }}}
{{- end }}
