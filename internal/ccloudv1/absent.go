package ccloudv1

import (
	"context"
	"net/http"

	"github.com/weirhq/weir/internal/engine"
)

// What follows is asked for by the CLI and has nothing behind it in Weir.

// freeTrial lists the free credits of the organization: there are none.
func (h *Handler) freeTrial(context.Context, *request) (any, error) {
	return map[string][]string{"promo_code_claims": {}}, nil
}

// dataPlaneToken is for Kafka's REST API, which Weir does not serve.
func (h *Handler) dataPlaneToken(context.Context, *request) (any, error) {
	return nil, &unavailableError{"This server manages no Kafka clusters, so that there is nothing to get a token for"}
}

// usageLimits are those of Kafka clusters.
func (h *Handler) usageLimits(context.Context, *request) (any, error) {
	return nil, &unavailableError{"This server manages no Kafka clusters, so that there are no limits of their usage"}
}

// ReportUsage takes what released builds of the CLI report after each command.
// It is part of the public API.
var ReportUsage = &engine.Call{
	Operation:   "createCliV1Usage",
	Description: "Takes the report of a command that the CLI ran. Weir answers so that the CLI need not wait or warn, and keeps nothing of it.",
	Open:        true,
	Body: []engine.Field{
		{Name: "os", Required: true, Description: "The operating system that the CLI runs on.", Example: "linux"},
		{Name: "arch", Required: true, Description: "The architecture that the CLI runs on.", Example: "amd64"},
		{Name: "version", Required: true, Description: "The version of the CLI.", Example: "v4.73.0"},
		{Name: "command", Required: true, Description: "The command that was run.", Example: "confluent environment list"},
		// The document requires the flags, and the CLI may send null.
		{Name: "flags", Type: engine.Array, Description: "The names of the flags that were given.", Items: &engine.Field{Name: "flag", Description: "A flag's name."}},
		{Name: "error", Type: engine.Boolean, Required: true, Description: "Whether the command failed."},
	},
	Do: func(_ context.Context, _ *engine.Calling) (*engine.Answer, error) {
		return &engine.Answer{Status: http.StatusNoContent}, nil
	},
}
