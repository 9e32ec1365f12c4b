package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxBody is the largest request body in bytes that any operation reads.
const MaxBody = 1 << 20

// ReadObject reads the request's body as one JSON object. Numbers stay
// json.Number. Errors are ready for the client: 413 over MaxBody, 415 for a
// body that is declared as something else than JSON, 400 with line and column
// for what is not JSON.
func ReadObject(r *http.Request) (map[string]any, error) {
	if !jsonType(r.Header.Get("Content-Type")) {
		return nil, New(UnsupportedMediaType, "The Content-Type of the body must be application/json")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseObject(body)
}

// ReadForm reads the request's body as an HTML form sends it, each field once
// and as text. Errors are those of ReadObject; a field that comes twice is a
// 400, since RFC 6749 forbids it and there is no telling which one counts.
func ReadForm(r *http.Request) (map[string]any, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, New(UnsupportedMediaType, "The Content-Type of the body must be application/x-www-form-urlencoded")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !utf8.Valid(body) {
		return nil, New(MalformedRequest, "The body is not a form: send name=value pairs, percent-encoded and joined by &")
	}
	fields := make(map[string]any, len(form))
	for name, values := range form {
		if len(values) > 1 {
			return nil, New(MalformedRequest, "The body has a field more than once; send each once")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, New(MalformedRequest, "The body is not UTF-8")
		}
		fields[name] = values[0]
	}
	return fields, nil
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "" && !strings.EqualFold(r.Header.Get("Content-Encoding"), "identity") {
		return nil, New(UnsupportedMediaType, "The body must be sent without Content-Encoding")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, New(PayloadTooLarge, fmt.Sprintf("The body is larger than %d bytes", MaxBody))
		}
		return nil, New(MalformedRequest, "The body could not be read to its end").WithCause(err)
	}
	return body, nil
}

func parseObject(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, New(MalformedRequest, "The body is empty; send a JSON object")
	}
	if !utf8.Valid(body) {
		return nil, New(MalformedRequest, fmt.Sprintf("The body is not UTF-8 at %s", position(body, invalidUTF8(body))))
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, malformed(body, err, dec.InputOffset())
	}
	if rest := bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n"); len(rest) != 0 {
		at := int64(len(body) - len(rest))
		return nil, New(MalformedRequest, fmt.Sprintf("The body has more than one JSON value: the second begins at %s", position(body, at)))
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, New(MalformedRequest, "The body must be a JSON object")
	}
	return object, nil
}

func malformed(body []byte, err error, offset int64) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return New(MalformedRequest, fmt.Sprintf("The body is not valid JSON at %s: %s", position(body, syntax.Offset-1), strings.TrimPrefix(syntax.Error(), "json: ")))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return New(MalformedRequest, fmt.Sprintf("The body is not valid JSON: it ends too early, at %s", position(body, int64(len(body)))))
	default:
		return New(MalformedRequest, fmt.Sprintf("The body is not valid JSON near %s", position(body, offset))).WithCause(err)
	}
}

// position says where a byte stands, for a person: lines and columns count
// from one, columns in characters.
func position(body []byte, offset int64) string {
	offset = min(max(offset, 0), int64(len(body)))
	before := body[:offset]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("line %d, column %d", line, column)
}

func invalidUTF8(body []byte) int64 {
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 {
			return int64(i)
		}
		i += size
	}
	return int64(len(body))
}

// jsonType reports whether the media type is JSON. A missing one counts as
// JSON: the bytes decide then.
func jsonType(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return media == "application/json" || media == "text/json" ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

// AcceptsJSON reports whether an Accept header leaves room for JSON. Quality
// values of zero exclude a range; otherwise order and quality do not matter,
// since there is only one thing to choose.
func AcceptsJSON(accept []string) bool {
	if len(accept) == 0 {
		return true
	}
	seen, accepts := false, false
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			seen = true
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			excluded := params["q"] != "" && strings.Trim(params["q"], "0.") == ""
			switch {
			case excluded && media == "application/json":
				return false
			case excluded:
			case media == "*/*", media == "application/*", jsonType(media):
				accepts = true
			}
		}
	}
	return accepts || !seen
}
