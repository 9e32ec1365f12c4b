package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/backup"
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup FOLDER", Short: "Copy the data of a server, which may be running, into a new folder", Args: cobra.ExactArgs(1),
		Long: `Copy the data of a server, which may be running, into a new folder: the database as it is
at one moment, and the local CA. What the server wrote by then is in it, and nothing is
lost or held up. The folder holds all secrets of the server: keep it as safe.

This is for the embedded database. PostgreSQL has its own tools; docs/operations.md tells how.`,
		Example: "  weir backup --data-dir /var/lib/weir /backups/weir-2026-11-26",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := embedded(cmd)
			if err != nil {
				return err
			}
			m, err := backup.Make(cmd.Context(), dir, args[0], versionText(), time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s holds %s as of %s\n", args[0], dir, m.Made.Format(time.RFC3339))
			return nil
		},
	}
	storeFlags(c.Flags())
	return c
}

func restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "restore FOLDER", Short: "Put a backup into a new data directory", Args: cobra.ExactArgs(1),
		Long: `Put what 'weir backup' made into the data directory, where there must be no database yet.
All of the backup is checked before anything is written.`,
		Example: "  weir restore --data-dir /var/lib/weir /backups/weir-2026-11-26",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := load(cmd.Flags())
			if err != nil {
				return err
			}
			if k.String(databaseURL) != "" {
				return errNotEmbedded
			}
			m, err := backup.Restore(args[0], k.String(dataDir))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s holds what was there on %s, made with Weir %s. To look at all of it: weir verify\n",
				k.String(dataDir), m.Made.Format(time.RFC3339), m.Version)
			return nil
		},
	}
	storeFlags(c.Flags())
	return c
}

func verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "verify", Short: "Look at everything in the database and tell what is wrong", Args: cobra.NoArgs,
		Long: `Look at everything in the data directory or database of a server, which may be running: whether
the database is whole, every object can be read and is indexed as it should, all that is
referred to is there, counters are right, and the audit log says of every object what it is.

Each problem is a line, and the exit code is 1 if there are any. A database of an older
Weir is migrated first, as by a start of the server.`,
		RunE: verify,
	}
	storeFlags(c.Flags())
	return c
}

func verify(cmd *cobra.Command, _ []string) error {
	e, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = e.Store.Close() }()
	out := cmd.OutOrStdout()
	seen, err := e.Verify(cmd.Context(), func(problem string) { fmt.Fprintln(out, problem) })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Looked at %d objects, %d IDs of deleted ones and %d events of the audit log: ", seen.Objects, seen.Deleted, seen.Events)
	if seen.Problems > 0 {
		fmt.Fprintf(out, "%d problems\n", seen.Problems)
		return errProblems
	}
	fmt.Fprintln(out, "all is well")
	return nil
}

var (
	errProblems    = errors.New("the database has problems: restore a backup from before them, and report them to us, as they should not be")
	errNotEmbedded = errors.New("this is for the embedded database, and --database-url names PostgreSQL: use pg_dump and pg_restore, see docs/operations.md, and 'weir verify' on what was restored")
)

// embedded returns the data directory of a server with the embedded database.
func embedded(cmd *cobra.Command) (dir string, err error) {
	k, err := load(cmd.Flags())
	if err != nil {
		return "", err
	}
	if k.String(databaseURL) != "" {
		return "", errNotEmbedded
	}
	if err := hasDatabase(k.String(dataDir)); err != nil {
		return "", err
	}
	return k.String(dataDir), nil
}
