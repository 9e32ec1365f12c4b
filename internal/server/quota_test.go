package server_test

import (
	"testing"

	"github.com/weirhq/weir/internal/engine"
)

// verifyQuotas fails the test if a counter is not what the objects come to.
func verifyQuotas(t *testing.T, e *engine.Engine) {
	t.Helper()
	wrong, err := e.VerifyQuotas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range wrong {
		t.Errorf("%s of %q is counted as %d, and there are %d", m.Name, m.Subject, m.Counted, m.Objects)
	}
}
