package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/store"
)

// answer is an error body as a client of either of the two shapes reads it.
type answer struct {
	*httptest.ResponseRecorder
	Log  string
	Body struct {
		Errors []struct {
			ID, Status, Code, Title, Detail string
			Source                          map[string]string
		}
		Status string
		Error  struct {
			Code, Message, Details, Timestamp, Path, Suggestion string
		}
		RequestID string `json:"requestId"`
		DocURL    string `json:"doc_url"`
		ErrorCode *int   `json:"error_code"`
		Message   string
	}
}

const publicURL = "https://weir.example.com"

// written returns what the writer makes of an error.
func written(ctx context.Context, t *testing.T, err error) answer {
	t.Helper()
	var log bytes.Buffer
	w := api.ErrorWriter{
		PublicURL: publicURL,
		Log:       slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:       func() time.Time { return start },
	}
	r := httptest.NewRequest(http.MethodGet, "/iam/v2/users/u-1?token=in-the-query", nil).
		WithContext(api.WithRequestID(ctx, "req1"))
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	w.Write(a.ResponseRecorder, r, err)
	a.Log = log.String()
	if err := json.Unmarshal(a.ResponseRecorder.Body.Bytes(), &a.Body); err != nil {
		t.Fatalf("the body is no JSON: %v\n%s", err, a.ResponseRecorder.Body)
	}
	return a
}

func TestErrorBodyHasBothShapes(t *testing.T) {
	t.Parallel()
	a := written(t.Context(), t, api.New(api.ResourceNotFound, "The User 'u-1' does not exist"))
	if a.Code != http.StatusNotFound {
		t.Errorf("the status is %d", a.Code)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := a.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	b := a.Body
	if len(b.Errors) != 1 {
		t.Fatalf("%d errors", len(b.Errors))
	}
	code := api.ResourceNotFound
	for _, c := range [][3]string{
		{"errors[0].id", b.Errors[0].ID, "req1"},
		{"errors[0].status", b.Errors[0].Status, "404"},
		{"errors[0].code", b.Errors[0].Code, "resource_not_found"},
		{"errors[0].title", b.Errors[0].Title, code.Title},
		{"errors[0].detail", b.Errors[0].Detail, "The User 'u-1' does not exist"},
		{"status", b.Status, "404"},
		{"error.code", b.Error.Code, "RESOURCE_NOT_FOUND"},
		{"error.message", b.Error.Message, "The User 'u-1' does not exist"},
		{"error.details", b.Error.Details, code.Meaning},
		{"error.suggestion", b.Error.Suggestion, code.Remedy},
		{"error.timestamp", b.Error.Timestamp, "2026-03-01T12:00:00.000000Z"},
		{"error.path", b.Error.Path, "/iam/v2/users/u-1"},
		{"requestId", b.RequestID, "req1"},
		{"doc_url", b.DocURL, publicURL + "/docs/errors/RESOURCE_NOT_FOUND"},
	} {
		if c[1] != c[2] {
			t.Errorf("%s is %q, want %q", c[0], c[1], c[2])
		}
	}
	// Strict clients decode source, so it is there even when it is empty.
	if b.Errors[0].Source == nil || len(b.Errors[0].Source) != 0 {
		t.Errorf("source is %v", b.Errors[0].Source)
	}
}

func TestEveryCodeIsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range api.Codes() {
		a := written(t.Context(), t, api.New(c, "Something"))
		if a.Code != c.Status || a.Body.Status != fmt.Sprint(c.Status) || a.Body.Errors[0].Status != fmt.Sprint(c.Status) {
			t.Errorf("%s: statuses are %d, %s and %s", c.Name, a.Code, a.Body.Status, a.Body.Errors[0].Status)
		}
		if a.Body.Error.Code != c.Upper() || a.Body.Errors[0].Code != c.Name || a.Body.DocURL != publicURL+"/docs/errors/"+c.Upper() {
			t.Errorf("%s: codes are %s, %s and %s", c.Name, a.Body.Error.Code, a.Body.Errors[0].Code, a.Body.DocURL)
		}
		if flat := a.Body.ErrorCode != nil || a.Body.Message != ""; flat != (c.Number != 0) {
			t.Errorf("%s: the flat form is there or not: %v", c.Name, flat)
		} else if flat && (*a.Body.ErrorCode != c.Number || a.Body.Message != "Something") {
			t.Errorf("%s: the flat form has %d and %q", c.Name, *a.Body.ErrorCode, a.Body.Message)
		}
		if a.Log != "" {
			t.Errorf("%s: an error without a cause was logged: %s", c.Name, a.Log)
		}
	}
}

func TestSeveralProblems(t *testing.T) {
	t.Parallel()
	a := written(t.Context(), t, api.Invalid(
		api.Problem{Message: "The field 'a' is required", Pointer: "/a"},
		api.Problem{Message: "The field 'b' is required", Pointer: "/spec/b"},
		api.Problem{Message: "The field 'c' is required", Pointer: "/spec/c/0"},
	))
	if a.Code != http.StatusUnprocessableEntity {
		t.Errorf("the status is %d", a.Code)
	}
	if want := "3 fields failed validation, first: The field 'a' is required"; a.Body.Error.Message != want {
		t.Errorf("the message is %q, want %q", a.Body.Error.Message, want)
	}
	ids := map[string]bool{}
	for i, e := range a.Body.Errors {
		ids[e.ID] = true
		want := []string{"/a", "/spec/b", "/spec/c/0"}[i]
		if e.Source["pointer"] != want || len(e.Source) != 1 {
			t.Errorf("source %d is %v, want the pointer %s", i, e.Source, want)
		}
		if !strings.HasPrefix(e.ID, "req1") {
			t.Errorf("id %q does not begin with the request's", e.ID)
		}
	}
	if len(ids) != 3 {
		t.Errorf("the ids are not unique: %v", ids)
	}
}

func TestBadParameter(t *testing.T) {
	t.Parallel()
	a := written(t.Context(), t, api.BadParameter(api.InvalidParameter, "page_size", "Too many"))
	if a.Code != http.StatusBadRequest {
		t.Errorf("the status is %d", a.Code)
	}
	if s := a.Body.Errors[0].Source; s["parameter"] != "page_size" || len(s) != 1 {
		t.Errorf("source is %v", s)
	}
}

func TestErrorHeaders(t *testing.T) {
	t.Parallel()
	e := api.New(api.AlreadyExists, "Taken").WithHeader("WWW-Authenticate", "Basic").WithHeader("WWW-Authenticate", "Bearer")
	e.Location = "/iam/v2/service-accounts/sa-1"
	a := written(t.Context(), t, e)
	if got, want := a.Header().Get("Location"), publicURL+"/iam/v2/service-accounts/sa-1"; got != want {
		t.Errorf("Location is %q, want %q", got, want)
	}
	if got := a.Header().Values("WWW-Authenticate"); len(got) != 2 {
		t.Errorf("WWW-Authenticate is %q", got)
	}
	if got := written(t.Context(), t, api.New(api.AlreadyExists, "Taken")).Header(); got.Values("Location") != nil {
		t.Errorf("Location without one is %q", got)
	}
}

const secretCause = "dial tcp 10.1.2.3:5432: password=hunter2 refused"

// leaks reports what of the cause the client can see.
func leaks(a answer) bool {
	all := a.ResponseRecorder.Body.String() + fmt.Sprint(a.Header())
	return strings.Contains(all, "hunter2") || strings.Contains(all, "10.1.2.3") || strings.Contains(all, "in-the-query")
}

func TestUnknownErrors(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	cause := errors.New(secretCause)
	for name, c := range map[string]struct {
		ctx   context.Context
		err   error
		code  *api.Code
		retry string
	}{
		"anything":               {t.Context(), cause, api.Internal, ""},
		"database away":          {t.Context(), fmt.Errorf("list: %w: %w", store.ErrUnavailable, cause), api.Unavailable, "1"},
		"too slow":               {t.Context(), fmt.Errorf("%w: %w", context.DeadlineExceeded, cause), api.Unavailable, "1"},
		"client went away":       {gone, fmt.Errorf("%w: %w", context.Canceled, cause), api.Unavailable, ""},
		"cancelled by ourselves": {t.Context(), fmt.Errorf("%w: %w", context.Canceled, cause), api.Internal, ""},
		"not found in the store": {t.Context(), fmt.Errorf("%w: %w", store.ErrNotFound, cause), api.Internal, ""},
		"known with a cause":     {t.Context(), api.New(api.MalformedRequest, "Bad").WithCause(cause), api.MalformedRequest, ""},
		"known within another":   {t.Context(), fmt.Errorf("%s: %w", secretCause, api.New(api.InUse, "Used").WithCause(cause)), api.InUse, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := written(c.ctx, t, c.err)
			if a.Code != c.code.Status || a.Body.Errors[0].Code != c.code.Name {
				t.Errorf("answered %d %s, want %s", a.Code, a.Body.Errors[0].Code, c.code.Name)
			}
			if got := a.Header().Get("Retry-After"); got != c.retry {
				t.Errorf("Retry-After is %q, want %q", got, c.retry)
			}
			if leaks(a) {
				t.Errorf("the client sees the cause: %s", a.ResponseRecorder.Body)
			}
			if !strings.Contains(a.Log, secretCause) || !strings.Contains(a.Log, "req1") {
				t.Errorf("the log does not have the cause and the request's id: %s", a.Log)
			}
			if level := strings.Contains(a.Log, `"level":"ERROR"`); level != (c.code.Status >= 500 && name != "client went away") {
				t.Errorf("wrong level for %d: %s", c.code.Status, a.Log)
			}
			if strings.HasSuffix(a.Body.Error.Message, ".") || a.Body.Error.Message == "" {
				t.Errorf("the message is %q", a.Body.Error.Message)
			}
		})
	}
}

func TestErrorIsAnError(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	e := api.Invalid(api.Problem{Message: "One"}, api.Problem{Message: "Two"}).WithCause(cause)
	if got := e.Error(); got != "invalid_configuration: One; Two" {
		t.Errorf("Error() is %q", got)
	}
	if !errors.Is(e, cause) {
		t.Error("the cause is not unwrapped")
	}
}

// Text that a user chose comes back as text, whatever it holds.
func TestOddTextInErrorBodies(t *testing.T) {
	t.Parallel()
	message := "no \"quote\" <script> & \x00\x01\u2028 \xff é😀"
	a := written(t.Context(), t, api.New(api.InvalidParameter, message))
	if want := strings.ToValidUTF8(message, "\uFFFD"); a.Body.Errors[0].Detail != want {
		t.Errorf("detail is %q, want %q", a.Body.Errors[0].Detail, want)
	}
}
