// Command pocketbase serves PocketBase with a collection that is like Weir's
// service accounts, for the benchmark to compare with. It is a module of its own,
// so that PocketBase is no dependency of anything else.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

func main() {
	address := flag.String("address", "127.0.0.1:8090", "the `address` to serve at")
	data := flag.String("data", "pb_data", "the `directory` of the databases, which is made")
	objects := flag.Int("objects", 1000, "how many records there are")
	durable := flag.Bool("durable", false, "sync the log at every commit (synchronous = FULL), which PocketBase by itself does not")
	flag.Parse()
	if err := serve(*address, *data, *objects, *durable); err != nil {
		fmt.Fprintln(os.Stderr, "pocketbase:", err)
		os.Exit(1)
	}
}

func serve(address, data string, objects int, durable bool) error {
	config := pocketbase.Config{DefaultDataDir: data, HideStartBanner: true}
	if durable {
		config.DBConnect = connectDurably
	}
	app := pocketbase.NewWithConfig(config)
	if err := app.Bootstrap(); err != nil {
		return err
	}
	if err := app.RunAllMigrations(); err != nil {
		return err
	}
	if err := prepare(app, data, objects); err != nil {
		return err
	}
	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		e.Router.GET("/metrics", func(e *core.RequestEvent) error {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			return e.String(200, fmt.Sprintf("go_memstats_mallocs_total %d\n", stats.Mallocs))
		})
		return e.Next()
	})
	return apis.Serve(app, apis.ServeConfig{HttpAddr: address})
}

// connectDurably opens a database as PocketBase does, but for one setting.
func connectDurably(path string) (*dbx.DB, error) {
	return dbx.Open("sqlite", path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=journal_size_limit(200000000)"+
		"&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-32000)")
}

// prepare makes the collection, its records and somebody who may do everything
// with them, and writes what the benchmark has to know into ready.json.
func prepare(app core.App, data string, objects int) error {
	accounts := core.NewBaseCollection("accounts")
	for _, rule := range []**string{&accounts.ListRule, &accounts.ViewRule, &accounts.CreateRule, &accounts.UpdateRule, &accounts.DeleteRule} {
		*rule = types.Pointer("@request.auth.id != ''")
	}
	accounts.Fields.Add(
		&core.TextField{Name: "display_name", Required: true, Max: 64},
		&core.TextField{Name: "description"},
		&core.AutodateField{Name: "created", OnCreate: true},
		&core.AutodateField{Name: "updated", OnCreate: true, OnUpdate: true},
	)
	accounts.AddIndex("accounts_display_name", true, "display_name", "")
	if err := app.Save(accounts); err != nil {
		return err
	}
	ready := struct {
		Token string   `json:"token"`
		IDs   []string `json:"ids"`
	}{}
	err := app.RunInTransaction(func(tx core.App) error {
		for n := range objects {
			record := core.NewRecord(accounts)
			record.Set("display_name", fmt.Sprintf("account-%07d", n))
			record.Set("description", "Made to be read")
			if err := tx.Save(record); err != nil {
				return err
			}
			ready.IDs = append(ready.IDs, record.Id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	users, err := app.FindCollectionByNameOrId("users")
	if err != nil {
		return err
	}
	user := core.NewRecord(users)
	user.SetEmail("bench@example.com")
	user.SetPassword(strings.Repeat("benchmark", 2))
	if err := app.Save(user); err != nil {
		return err
	}
	if ready.Token, err = user.NewAuthToken(); err != nil {
		return err
	}
	text, err := json.Marshal(ready)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(data, "ready.json"), text, 0o600)
}
