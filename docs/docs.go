// Package docs holds what programs read of the documents beside it.
package docs

import _ "embed"

// AuditEventSchema is the JSON schema of the data of an event of the audit log.
//
//go:embed audit-event.schema.json
var AuditEventSchema []byte
