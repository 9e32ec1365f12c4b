// Package browser drives Weir's pages for people in a real browser, Chromium,
// with JavaScript switched off.
package browser

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// timeout is how long one test may keep its browser.
const timeout = 2 * time.Minute

// browser is one tab of a browser that nobody else uses.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu sync.Mutex
	// complaints are what the browser found wrong with pages.
	complaints []string
	// requested are the addresses that pages made it ask for.
	requested []string
}

// start starts a browser with an empty profile and ends it with the test.
func start(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("the test needs the program chromium in PATH: install it ('apt-get install chromium' on Debian)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	ctx, endAllocator := chromedp.NewExecAllocator(ctx, append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // containers, in which tests run as root, have none
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-US"),
	)...)
	ctx, endTab := chromedp.NewContext(ctx)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end the browser: %v", err)
		}
		endTab()
		endAllocator()
		cancel()
	})
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	call(b, log.Enable, cdp.Empty{})
	call(b, network.Enable, network.EnableParams{})
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return b
}

// call sends one command of the DevTools protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// run takes one action and returns its value.
func run[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		// That a page was answered with an error is for the test to judge.
		if e.Entry.Source != log.EntrySourceNetwork {
			b.complaints = append(b.complaints, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		b.requested = append(b.requested, e.Request.URL)
	}
}

// wantNoComplaints fails if the browser found anything wrong, or if a page
// reached beyond the server.
func (b *browser) wantNoComplaints(url string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the browser complains: %s", c)
	}
	for _, r := range b.requested {
		if !strings.HasPrefix(r, url+"/") {
			b.t.Errorf("a page asked for %s", r)
		}
	}
	if len(b.requested) == 0 {
		b.t.Error("the browser told of no request")
	}
}

// open goes to an address and returns the status of the answer.
func (b *browser) open(url string) int64 {
	b.t.Helper()
	return run(b, chromedp.NavigateResponse(url)).Status
}

// press presses the button that sends the form, and returns the status of the
// answer.
func (b *browser) press() int64 {
	b.t.Helper()
	answer, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS("button[type=submit]")))
	if err != nil {
		b.t.Fatal(err)
	}
	return answer.Status
}

// fill types into a field, in place of what is there.
func (b *browser) fill(id, text string) {
	b.t.Helper()
	run(b, chromedp.Clear(chromedp.ID(id)))
	run(b, chromedp.SendKeys(chromedp.ID(id), text))
}

// value returns what a field holds.
func (b *browser) value(id string) string {
	b.t.Helper()
	return run(b, chromedp.Value(chromedp.ID(id)))
}

// text returns what is to be read on the page.
func (b *browser) text() string {
	b.t.Helper()
	return run(b, chromedp.Text(chromedp.CSS("body")))
}

// wantText fails unless the page shows each of the texts.
func (b *browser) wantText(texts ...string) {
	b.t.Helper()
	got := b.text()
	for _, s := range texts {
		if !strings.Contains(got, s) {
			b.t.Errorf("%q is not on the page:\n%s", s, got)
		}
	}
}

// background returns the colour behind the page in a colour scheme.
func (b *browser) background(scheme string) string {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	return run(b, chromedp.Evaluate[string]("getComputedStyle(document.body).backgroundColor"))
}

// width returns how wide the content is on a screen of that width, in CSS
// pixels.
func (b *browser) width(screen int64) float64 {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: screen, Height: 800, DeviceScaleFactor: 1, Mobile: true,
	})
	return call(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize.Width
}

// Pages must work without scripts; the other tests show that only where none
// runs.
func TestNoScriptRuns(t *testing.T) {
	t.Parallel()
	b := start(t)
	run(b, chromedp.Navigate(`data:text/html,<p id=p>still</p><script>document.getElementById("p").textContent = "changed"</script><noscript>none</noscript>`))
	if got := b.text(); !strings.Contains(got, "still") || strings.Contains(got, "changed") {
		t.Fatalf("the page says %q", got)
	}
}
