package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

func keysCommand() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Manage API keys on the server's own machine"}
	create := &cobra.Command{
		Use: "create", Short: "Make a new Cloud API key", Args: cobra.NoArgs,
		Long: `Make a new Cloud API key in the data directory or database of a server, which may be
running, and print it. This is the way back in for who lost the first one.`,
		RunE: createKey,
	}
	storeFlags(create.Flags())
	create.Flags().String("owner", "", "`ID` of the user or service account that the key stands for; the first administrator by default")
	c.AddCommand(create)
	return c
}

func createKey(cmd *cobra.Command, _ []string) error {
	e, done, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer done()
	owner, _ := cmd.Flags().GetString("owner")
	id, secret, owner, err := bootstrap.NewKey(cmd.Context(), e, owner)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "# A Cloud API key of %s. The secret is shown once.\nexport CONFLUENT_CLOUD_API_KEY=%s\nexport CONFLUENT_CLOUD_API_SECRET=%s\n", owner, id, secret)
	return nil
}

// openEngine opens the database of a server, which may be running, for a command
// of the operator's. The function closes it.
func openEngine(cmd *cobra.Command) (*engine.Engine, func(), error) {
	k, log, err := loadWithLog(cmd)
	if err != nil {
		return nil, nil, err
	}
	if k.String(databaseURL) == "" {
		// Opening would make an empty database where there is none.
		if _, err := os.Stat(filepath.Join(k.String(dataDir), sqlstore.FileName)); err != nil {
			return nil, nil, errNoDatabase
		}
	}
	s, err := server.OpenStore(cmd.Context(), k.String(databaseURL), k.String(dataDir), log)
	if err != nil {
		return nil, nil, err
	}
	done := func() { _ = s.Close() }
	e, err := server.NewEngine(cmd.Context(), s, "", log)
	if err != nil {
		done()
		return nil, nil, err
	}
	return e, done, nil
}
