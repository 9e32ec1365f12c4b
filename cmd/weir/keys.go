package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/bootstrap"
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
	create.Flags().String("organization", "", "`ID` of the organization; the first one by default")
	create.Flags().String("owner", "", "`ID` of the user or service account that the key stands for; the first administrator by default")
	c.AddCommand(create)
	return c
}

func createKey(cmd *cobra.Command, _ []string) error {
	e, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = e.Store.Close() }()
	organization, _ := cmd.Flags().GetString("organization")
	owner, _ := cmd.Flags().GetString("owner")
	id, secret, owner, err := bootstrap.NewKey(cmd.Context(), e, organization, owner)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "# A Cloud API key of %s. The secret is shown once.\nexport CONFLUENT_CLOUD_API_KEY=%s\nexport CONFLUENT_CLOUD_API_SECRET=%s\n", owner, id, secret)
	return nil
}
