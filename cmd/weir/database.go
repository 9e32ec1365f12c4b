package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// openStore opens the database of a server, which may be running, for a command
// of the operator, with the settings and the log that the command has loaded.
func openStore(cmd *cobra.Command, k *koanf.Koanf, log *slog.Logger) (store.Store, error) {
	if k.String(databaseURL) == "" {
		// Opening would make an empty database where there is none.
		if err := hasDatabase(k.String(dataDir)); err != nil {
			return nil, err
		}
	}
	return server.OpenStore(cmd.Context(), k.String(databaseURL), k.String(dataDir), log)
}

// hasDatabase returns an error where there is no embedded database in the
// directory.
func hasDatabase(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, sqlstore.FileName)); err != nil {
		return errNoDatabase
	}
	return nil
}

// openEngine opens the database as openStore does. The engine's Store is to be
// closed.
func openEngine(cmd *cobra.Command) (*engine.Engine, error) {
	// The audit log says that it was the operator.
	cmd.SetContext(audit.As(cmd.Context(), audit.Operator))
	k, log, err := loadWithLog(cmd)
	if err != nil {
		return nil, err
	}
	s, err := openStore(cmd, k, log)
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

// onOrganization opens the database for the time of work on the organization
// that --organization names, or on the first one.
func onOrganization(cmd *cobra.Command, work func(e *engine.Engine, organization string) error) error {
	e, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = e.Store.Close() }()
	ctx := cmd.Context()
	organization, _ := cmd.Flags().GetString("organization")
	if organization == "" {
		if organization, err = bootstrap.FirstOrganization(ctx, e.Store); err != nil {
			return err
		}
	}
	_, err = e.Store.Get(ctx, organization, store.Key{Kind: org.Organization.Key(), ID: organization})
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no organization %q", organization)
	}
	if err != nil {
		return err
	}
	return work(e, organization)
}
