package main

import (
	"strings"
	"testing"
	"time"
)

func TestPrintTargets(t *testing.T) {
	t.Parallel()
	r := report{rows: []row{
		{part: onSQLite, work: readByID, connections: 32, contestant: weirName, result: result{rate: 60}},
		{part: onSQLite, work: readByID, connections: 32, contestant: bareHandler, result: result{rate: 100}},
		{part: onSQLite, work: readByID, connections: 1, contestant: bareHandler, result: result{rate: 1}},
	}, halves: []halfRow{{part: onSQLite, work: readByID, contestant: weirName, p50: time.Millisecond, p99: 6 * time.Millisecond}}}
	r.add(readyEmpty, 100.4, milliseconds)
	var out strings.Builder
	if err := r.printTargets(&out, targets(), 32); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| read by id by the bare handler, SQLite | at least 0.60 | 0.60 | yes |\n",
		"| list of 100 by the bare handler, SQLite | at least 0.45 | - | not measured |\n",
		"| " + readyEmpty + " | at most 100 ms | 100 ms | no |\n",
		"| p99 by p50 of read by id at half the load, SQLite | at most 5.00 | 6.00 | no |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table is without %q:\n%s", want, out.String())
		}
	}
}
