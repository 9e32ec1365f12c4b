package api

import (
	"net/http"
	"strings"
)

// Problem is one thing wrong with a request.
type Problem struct {
	// Message says what is wrong and what would be right, in active voice and
	// without a final period. It is shown to the user.
	Message string
	// Pointer is the JSON pointer of the field at fault, Parameter the name of
	// the query parameter; at most one of them is set.
	Pointer, Parameter string
}

// Error is a failure as the API reports it.
type Error struct {
	Code *Code
	// Title takes the place of the code's title where it is not "".
	Title string
	// Problems has at least one element.
	Problems []Problem
	// Location is the path of the object in conflict, or "".
	Location string
	// Header holds further headers of the answer, such as WWW-Authenticate.
	Header http.Header
	// Cause is for the log only and never reaches the client.
	Cause error
}

// Error joins the messages.
func (e *Error) Error() string {
	messages := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		messages[i] = p.Message
	}
	return e.Code.Name + ": " + strings.Join(messages, "; ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an error with one problem that no single field is to blame for.
func New(code *Code, message string) *Error {
	return &Error{Code: code, Problems: []Problem{{Message: message}}}
}

// Invalid reports fields that failed validation, one problem each, as 422.
func Invalid(problems ...Problem) *Error {
	return &Error{Code: ValidationFailed, Problems: problems}
}

// BadParameter reports a query parameter that the operation does not take as
// it is, as 400.
func BadParameter(code *Code, parameter, message string) *Error {
	return &Error{Code: code, Problems: []Problem{{Message: message, Parameter: parameter}}}
}

// WithHeader adds a header to the answer.
func (e *Error) WithHeader(name, value string) *Error {
	if e.Header == nil {
		e.Header = http.Header{}
	}
	e.Header.Add(name, value)
	return e
}

// WithCause keeps the cause for the log.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}
