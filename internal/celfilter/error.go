package celfilter

import (
	"fmt"
	"strings"
	"unicode"

	"cel.dev/cel-go/common"
)

// Error says what is wrong with the text of a filter.
type Error struct {
	// Offset is where, in characters from 0; it is the length of the text
	// where something is missing at its end.
	Offset int
	// Line and Column are the same place, both counted from 1.
	Line, Column int
	// Message says what is wrong and what would be right, for people.
	Message string
}

// Error is the message with its place: "at character 3: …", counted from 1 as
// people do, or "at line 2, column 3: …" in a text of several lines.
func (e *Error) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("at line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("at character %d: %s", e.Offset+1, e.Message)
}

// at makes an error for a place in the text.
func at(text string, offset int, format string, args ...any) *Error {
	e := &Error{Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}
	for _, r := range text {
		if e.Offset >= offset {
			break
		}
		e.Offset++
		e.Column++
		if r == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
	}
	return e
}

const (
	available   = "they have ==, !=, in, !, && and ||"
	emptyFilter = "the filter is empty; true lets everybody in"
	hasUsage    = "'has' takes one claim, as in has(claims.email)"
	unclosed    = "a text begins here and has no end: its closing quote is missing, or a backslash in it is not doubled"
)

// syntaxError tells in plain words what CEL's parser found. The parser speaks of
// its grammar, so that the words come from what stands where it stumbled.
func syntaxError(text string, source common.Source, found *common.Error) error {
	offset := 0
	if o, ok := source.LocationOffset(found.Location); ok {
		offset = int(max(o, 0))
	}
	if strings.Contains(found.Message, "recursion") {
		return at(text, offset, "the filter is nested too deeply")
	}
	runes := []rune(text)
	if strings.Contains(found.Message, "has() macro") {
		return at(text, offset, hasUsage)
	}
	if strings.TrimSpace(text) == "" {
		return at(text, 0, emptyFilter)
	}
	if offset >= len(runes) {
		switch {
		case strings.Contains(found.Message, "missing ')'"):
			return at(text, len(runes), "a parenthesis is not closed")
		case strings.Contains(found.Message, "{']'"):
			return at(text, len(runes), "a list is not closed")
		default:
			return at(text, len(runes), "the filter ends where something should follow")
		}
	}
	word := wordAt(runes[offset:])
	switch runes[offset] {
	case '"', '\'':
		if strings.Contains(found.Message, "token recognition") {
			return at(text, offset, unclosed)
		}
	case '=':
		return at(text, offset, "'=' is no operator; write '=='")
	case '&', '|':
		if strings.Contains(found.Message, "token recognition") {
			return at(text, offset, "'%c' is no operator; write '%c%c'", runes[offset], runes[offset], runes[offset])
		}
	case '“', '”', '‘', '’', '„', '«', '»':
		return at(text, offset, "a text stands in straight quotes, not in '%c'", runes[offset])
	case '.':
		return at(text, offset, "a name should follow the dot, and it cannot be a word of CEL such as 'in'")
	}
	switch strings.ToLower(word) {
	case "and":
		return at(text, offset, "'%s' is no operator; write '&&'", word)
	case "or":
		return at(text, offset, "'%s' is no operator; write '||'", word)
	case "not":
		return at(text, offset, "'%s' is no operator; write '!' before a condition in parentheses", word)
	}
	return at(text, offset, "'%s' cannot stand here", word)
}

// wordAt is the name, the operator of two characters or else the one character
// that the text begins with, where it can be shown.
func wordAt(text []rune) string {
	n := 0
	for n < len(text) && (text[n] == '_' || unicode.IsLetter(text[n]) || unicode.IsDigit(text[n])) {
		n++
	}
	if n > 0 {
		return string(text[:n])
	}
	if len(text) > 1 && text[0] == text[1] && strings.ContainsRune("&|=", text[0]) {
		return string(text[:2])
	}
	if !unicode.IsGraphic(text[0]) {
		return fmt.Sprintf("%U", text[0])
	}
	return string(text[:1])
}
