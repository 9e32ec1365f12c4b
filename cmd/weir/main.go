// Command weir serves the Confluent Cloud APIs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when a release is built.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "weir:", oneLine(err))
		os.Exit(1)
	}
}

// oneLine keeps an error on one line, whatever it wraps.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(strings.Fields(strings.Join(lines, "; ")), " ")
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "weir",
		Short: "A self-hosted server for the Confluent Cloud APIs",
		Long: "Weir is a self-hosted server that speaks the Confluent Cloud APIs: the official Terraform provider,\n" +
			"CLI and Go SDK work with it as they are. It is not affiliated with Confluent.",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	c.AddCommand(
		auditCommand(), backupCommand(), configCommand(), ipFiltersCommand(), keysCommand(), partnersCommand(), quotasCommand(),
		restoreCommand(), serveCommand(), ssoCommand(), usersCommand(), verifyCommand(), versionCommand())
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "weir", versionText()) },
	}
}

// versionText is the release's version, or what the build says of itself.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return strings.Trim(info.Main.Version, "()")
}

var errNoDatabase = errors.New("there is no database here yet: start 'weir serve' once, or point --data-dir or --database-url at it")
