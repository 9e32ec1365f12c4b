package main

import (
	"bufio"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []int
		want   int
	}{{[]int{7}, 7}, {[]int{9, 1, 5}, 5}, {[]int{8, 2, 4, 6}, 5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %d, want %d", c.values, got, c.want)
		}
	}
}

func TestMediansTakeEachFigureByItself(t *testing.T) {
	t.Parallel()
	got := medians([]result{
		{rate: 1, p50: 30, p99: 200, cpu: 3, allocations: 9},
		{rate: 3, p50: 10, p99: 300, cpu: 1, allocations: 8},
		{rate: 2, p50: 20, p99: 100, cpu: 2, allocations: 7},
	})
	if want := (result{rate: 2, p50: 20, p99: 200, cpu: 2, allocations: 8}); got != want {
		t.Errorf("medians = %+v, want %+v", got, want)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := report{rows: []row{{"one", "read", 32, "bare", result{rate: 1234.4, p50: 2 * time.Millisecond, p99: 3 * time.Millisecond, cpu: 50 * time.Microsecond, allocations: -1}, 0.5}, {part: "another"}}}
	if err := r.printRows(&out, "one"); err != nil {
		t.Fatal(err)
	}
	if want := "| read | 32 | bare | 1234 | 2000 | 3000 | 50 | - | 0.50 |\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("table ends with another row than %q:\n%s", want, out.String())
	}
}

// One byte too many or too few would shift all answers that follow.
func TestSkipAnswer(t *testing.T) {
	t.Parallel()
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc" +
		"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n" +
		"HTTP/1.1 204 No Content\r\n\r\n" + "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + "HTTP/1.1 200 OK\r\n\r\n"))
	for _, want := range []int{200, 201, 204, 404} {
		if got, err := skipAnswer(in); got != want || err != nil {
			t.Fatalf("skipAnswer = %d, %v, want %d", got, err, want)
		}
	}
	if _, err := skipAnswer(in); err == nil {
		t.Error("an answer without a length is taken")
	}
}
