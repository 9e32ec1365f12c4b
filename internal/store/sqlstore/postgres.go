package sqlstore

import (
	"context"
	"errors"

	"github.com/weirhq/weir/internal/store"
)

// OpenPostgres opens.
func OpenPostgres(ctx context.Context, databaseURL string, opts Options) (store.Store, error) {
	return nil, errors.ErrUnsupported
}
