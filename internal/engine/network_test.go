package engine

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/ipfilter"
)

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	rules := ipfilter.Rules{
		Networks: map[string][]netip.Prefix{"ipg-1": {netip.MustParsePrefix("192.0.2.0/24")}},
		Filters:  map[string]ipfilter.Filter{"ipf-1": {OperationGroups: []string{"MANAGEMENT"}, Groups: []string{"ipg-1"}}},
	}
	away := errors.New("the database is away")
	e := &Engine{Config: Config{
		Filters: func(_ context.Context, org string) (*ipfilter.Table, error) {
			switch org {
			case "filtered":
				return rules.Prepare(), nil
			case "away":
				return nil, away
			default:
				return &ipfilter.Table{}, nil
			}
		},
		Client: func(r *http.Request) netip.Addr { return netip.MustParseAddrPort(r.RemoteAddr).Addr() },
	}}
	for _, c := range []struct {
		org, group, from string
		want             *api.Code
	}{
		{"filtered", "MANAGEMENT", "192.0.2.7:1", nil},
		{"filtered", "MANAGEMENT", "192.0.3.7:1", api.AddressNotAllowed},
		{"filtered", "SCHEMA", "192.0.3.7:1", nil},
		{"open", "MANAGEMENT", "192.0.3.7:1", nil},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.from
		err := e.CheckAddress(r, c.org, c.group)
		var refused *api.Error
		if errors.As(err, &refused); (c.want == nil) != (err == nil) || refused != nil && refused.Code != c.want {
			t.Errorf("%s of %s from %s: %v", c.group, c.org, c.from, err)
		}
	}
	// Who cannot be asked about is not let in.
	if err := e.CheckAddress(httptest.NewRequest(http.MethodGet, "/", nil), "away", "MANAGEMENT"); !errors.Is(err, away) {
		t.Errorf("while the database is away: %v", err)
	}
}
