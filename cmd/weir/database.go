package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// openEngine opens the database of a server, which may be running, for a command
// of the operator. Its Store is to be closed.
func openEngine(cmd *cobra.Command) (*engine.Engine, error) {
	k, log, err := loadWithLog(cmd)
	if err != nil {
		return nil, err
	}
	if k.String(databaseURL) == "" {
		// Opening would make an empty database where there is none.
		if _, err := os.Stat(filepath.Join(k.String(dataDir), sqlstore.FileName)); err != nil {
			return nil, errNoDatabase
		}
	}
	s, err := server.OpenStore(cmd.Context(), k.String(databaseURL), k.String(dataDir), log)
	if err != nil {
		return nil, err
	}
	e, err := server.NewEngine(cmd.Context(), s, "", log)
	if err != nil {
		_ = s.Close() // what went wrong first is what counts
		return nil, err
	}
	return e, nil
}
