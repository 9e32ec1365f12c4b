package oidc_test

import (
	"testing"

	"github.com/weirhq/weir/e2e/oidc"
)

func TestProviderGivesOutTokens(t *testing.T) {
	t.Parallel()
	p := oidc.Start(t)
	if p.Token() == "" {
		t.Error("there is no token")
	}
}
