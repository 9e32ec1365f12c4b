package pim

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/cloudaccess"
	"github.com/weirhq/weir/internal/engine"
)

// incomplete is recorded of the real service (facts, semantics 10).
const incomplete = "Cloud provider setup incomplete"

// mustLook is the shape of the customer's side in the cloud with the name.
func mustLook(name string) *regexp.Regexp { return cloudNamed(name).shape }

// check tells whether the customer's side of the integration, or the one that
// the body proposes for a draft, lets Weir's in. What cannot be asked of the
// cloud is checked by its shape alone.
func check(ctx context.Context, e *engine.Engine, o *engine.Object, body engine.Doc) error {
	c := cloudNamed(o.Doc.String("provider"))
	doc := o.Doc.Clone()
	if body["config"] != nil {
		if kind := body.String(configKind); kind != c.kind {
			return bad(fmt.Sprintf("The config is of the kind '%s', and the provider integration %s takes %s", kind, o.ID, c.kind))
		}
		switch proposed := body.String(c.customer); {
		case status(o) == draft:
			doc.Set(c.customer, proposed)
		case proposed != "" && proposed != doc.String(c.customer):
			return bad(fmt.Sprintf("The provider integration %s is no %s any more and has '%s', not '%s'; leave the config out to check that", o.ID, draft, doc.String(c.customer), proposed))
		}
	}
	switch customer := doc.String(c.customer); {
	case customer == "":
		return bad(incomplete + ": the field '" + strings.TrimPrefix(c.customer, "config.") + "' is not set")
	case !c.shape.MatchString(customer):
		return bad(c.invalid)
	}
	ctx, cancel := context.WithTimeout(ctx, cloudaccess.Timeout)
	defer cancel()
	asked, err := c.ask(ctx, &e.Clouds, doc)
	var refused *cloudaccess.Refused
	switch {
	case errors.As(err, &refused):
		return bad(incomplete + ": " + refused.Reason).WithCause(err)
	case err != nil:
		e.Log.WarnContext(ctx, "a cloud could not be asked about a provider integration", "request_id", api.RequestID(ctx), "integration", o.ID, "cloud", c.name, "cause", err.Error())
		return api.New(api.Unavailable, c.name+" cannot be asked about the provider integration right now; the server's log says why").WithHeader("Retry-After", "60")
	case !asked:
		e.Log.InfoContext(ctx, "a provider integration was checked by its shape alone: --cloud-check does not name the cloud", "request_id", api.RequestID(ctx), "integration", o.ID, "cloud", c.name)
	}
	return nil
}

func bad(message string) *api.Error { return api.New(api.BadRequest, message) }
