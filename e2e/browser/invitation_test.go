package browser

import (
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/weirtest"
)

const password = "great scott, 1.21 GW"

// invite invites the address and returns the invitation's ID once its mail is
// out.
func invite(t *testing.T, s *weirtest.Server, email string) string {
	t.Helper()
	a := s.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": email})
	id, _ := a.Body["id"].(string)
	if a.Status != http.StatusCreated || id == "" {
		t.Fatalf("invite: %d %s", a.Status, a.Raw)
	}
	for deadline := time.Now().Add(20 * time.Second); get(t, s, "/iam/v2/invitations/"+id)["status"] != "INVITE_STATUS_SENT"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the mail did not go out")
		}
	}
	return id
}

func get(t *testing.T, s *weirtest.Server, path string) map[string]any {
	t.Helper()
	a := s.Do(http.MethodGet, path, nil)
	if a.Status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.Status, a.Raw)
	}
	return a.Body
}

// link returns the link in the plain part of the only mail in the outbox.
func link(t *testing.T, outbox string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(outbox, "*.eml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the outbox holds %q, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := mail.ReadMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(part))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`https?://\S+/invitation\?token=\S+`).FindString(string(text))
}

func TestInvitation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := weirtest.Start(t, weirtest.WithDataDir(dir))
	id := invite(t, s, "marty@example.com")
	url := link(t, filepath.Join(dir, "outbox"))
	b := start(t)

	if status := b.open(url); status != http.StatusOK {
		t.Fatalf("the link is answered with %d", status)
	}
	b.wantText("Join Weir", "Your full name", "Password", "Activate my account")
	if got := b.value("email"); got != "marty@example.com" {
		t.Errorf("the address on the form is %q", got)
	}

	b.fill("full_name", "Marty McFly")
	b.fill("password", password)
	b.fill("password_again", password+"!")
	if status := b.press(); status != http.StatusUnprocessableEntity {
		t.Errorf("two passwords that differ are answered with %d", status)
	}
	b.wantText("the two differ")
	if name, first, second := b.value("full_name"), b.value("password"), b.value("password_again"); name != "Marty McFly" || first != "" || second != "" {
		t.Errorf("the form holds %q, %q and %q", name, first, second)
	}

	b.fill("password", password)
	b.fill("password_again", password)
	if status := b.press(); status != http.StatusOK {
		t.Errorf("the form is answered with %d", status)
	}
	b.wantText("Welcome", "is active, Marty McFly", "marty@example.com")
	if strings.Contains(b.text(), password) {
		t.Error("the page shows the password")
	}

	if status := b.open(url); status != http.StatusGone {
		t.Errorf("the spent link is answered with %d", status)
	}
	b.wantText("already used")
	b.wantNoComplaints(s.URL)

	invitation := get(t, s, "/iam/v2/invitations/"+id)
	if invitation["status"] != "INVITE_STATUS_ACCEPTED" || invitation["accepted_at"] == nil {
		t.Errorf("the invitation is %v", invitation)
	}
	user, _ := invitation["user"].(map[string]any)
	userID, _ := user["id"].(string)
	if u := get(t, s, "/iam/v2/users/"+userID); u["full_name"] != "Marty McFly" {
		t.Errorf("the user is %v", u)
	}
}

func TestInvitationPageFitsScreensAndSchemes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := weirtest.Start(t, weirtest.WithDataDir(dir))
	email := strings.Repeat("long", 12) + "@" + strings.Repeat("example", 8) + ".com"
	invite(t, s, email)
	url := link(t, filepath.Join(dir, "outbox"))
	b := start(t)
	b.open(url)
	light, dark := b.background("light"), b.background("dark")
	if light == dark || light == "rgba(0, 0, 0, 0)" {
		t.Errorf("behind the page is %s by day and %s by night", light, dark)
	}
	for _, screen := range []int64{320, 390, 1280} {
		if width := b.width(screen); width > float64(screen) {
			t.Errorf("on a screen of %d pixels the page is %v wide", screen, width)
		}
	}
	if status := b.open(url[:len(url)-1]); status != http.StatusNotFound {
		t.Errorf("a link that was cut is answered with %d", status)
	}
	b.wantText("not valid")
	b.wantNoComplaints(s.URL)
}
