package main

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/server"
)

// gcPercent is how much garbage there may be for each 100 bytes in use. What a
// server keeps in memory is little, so that the usual 100 would have it collect
// many times a second under load. GOMEMLIMIT bounds the whole.
const gcPercent = 400

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Serve the API", Args: cobra.NoArgs,
		Long: `Serve the API until interrupted.

Every flag can also be set in the environment, as WEIR_ and its name in upper case with
underscores (WEIR_DATA_DIR), and in the file that --config names. A flag wins over the
environment, the environment over the file, the file over the default.

The first start makes an organization, its first user, the environment "default" and a
Cloud API key, prints them once, and writes them to credentials.env in the data directory.
WEIR_BOOTSTRAP_API_KEY, WEIR_BOOTSTRAP_API_SECRET, WEIR_BOOTSTRAP_EMAIL,
WEIR_BOOTSTRAP_PASSWORD and WEIR_BOOTSTRAP_ORGANIZATION_ID fix those values.

WEIR_AZURE_CLIENT_SECRET is the client secret for '--cloud-check azure'.`,
		Example: `  weir serve
  weir serve --data-dir /var/lib/weir --listen 0.0.0.0:8443 --tls-self-signed
  weir serve --database-url postgres://weir@db.example.com/weir`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, log, err := loadWithLog(cmd)
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			config := serverConfig(k)
			if limit := debug.SetMemoryLimit(-1); config.DatabaseURL == "" && limit != math.MaxInt64 {
				// The cache's memory is not Go's, and GOMEMLIMIT bounds the whole.
				debug.SetMemoryLimit(max(limit-int64(config.CacheSize)<<20, limit/2))
			}
			s, err := server.Open(cmd.Context(), config, versionText(), log)
			if err != nil {
				return err
			}
			if s.First != nil {
				fmt.Fprint(cmd.OutOrStdout(), s.First.Instructions(s.URL, config.DataDir, s.CAPath))
			} else if s.CAPath != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "Clients must trust the local CA: %s\n", s.CAPath)
			}
			log.Info("serving", "url", s.URL, "version", versionText())
			go debug.FreeOSMemory() // what the start took is not needed again
			return s.Serve(cmd.Context())
		},
	}
	serveFlags(c.Flags())
	return c
}
