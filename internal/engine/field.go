package engine

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/store"
)

// Type is the type of a field.
type Type int

// The types.
const (
	// String is text without NUL characters.
	String Type = iota
	// Boolean is true or false.
	Boolean
	// Integer is a 64-bit integer.
	Integer
	// Timestamp is an instant, RFC 3339.
	Timestamp
	// Structure is an object with Fields of its own.
	Structure
	// Reference names another object by id; see ReferenceTo.
	Reference
	// Array is a list of Items.
	Array
	// Address is one on this server. Documents hold its path, which answers
	// have behind the public URL; it is the server's to set.
	Address
)

// Field is one property of a kind. The zero value of every attribute is the
// common case: an optional, changeable property that users set.
type Field struct {
	Name string
	Type Type
	// Description says what the field is for, in Weir's own words.
	Description string
	// Example is shown in the API reference.
	Example any

	// Required fields must be there on create, unless they have a Default, and
	// cannot be cleared.
	Required bool
	// ReadOnly fields are the server's: in bodies they are ignored.
	ReadOnly bool
	// Immutable fields are set on create; a different value later is a 422.
	Immutable bool
	// Once fields are shown in the answer to create and stored nowhere.
	Once bool
	// WriteOnly fields are taken from bodies and never shown: a hook puts what
	// there is to keep of them into Private, or into other fields. One that is
	// Required must be there on create; left out later, it stays what it was.
	WriteOnly bool
	// EmptyIsAbsent makes an empty text in a body say what leaving the String
	// out says: clients send it for what they have no value for.
	EmptyIsAbsent bool
	// Always makes every answer have the String, empty where it is not set.
	Always bool
	// Deprecated is said in the API reference.
	Deprecated bool

	// MinLength and MaxLength bound a String in characters; MaxLength 0 means
	// MaxString. MinItems and MaxItems bound an Array.
	MinLength, MaxLength int
	MinItems, MaxItems   int
	// Pattern must match a String; PatternHint says in words what it asks for,
	// to follow "must".
	Pattern     *regexp.Regexp
	PatternHint string
	// Enum lists the allowed values of a String; empty means any.
	Enum []string
	// EnumFold takes the values of Enum, which are in capitals, in any case, and
	// keeps them as sent.
	EnumFold bool
	// Default is what create takes when the field is absent. Null is no absence.
	Default any
	// Format is the OpenAPI format.
	Format string

	// Fields are a Structure's.
	Fields []Field
	// Items is an Array's element.
	Items *Field
	// To is a Reference's target.
	To *ReferenceTo

	// Filter makes the field's dotted path a query parameter of list.
	Filter Filter
	// FilterAs is the parameter's name where it is not the dotted path.
	FilterAs string
	// FilterRequired makes list refuse a request without the parameter.
	FilterRequired bool
	// FilterBy turns the parameter's value into a condition, where that is not
	// the exact match of the field; its error is for the user.
	// with holds the parameters of FilterWith that are there.
	FilterBy func(value string, with url.Values) (store.Condition, error)
	// FilterWith are further parameters of list, which FilterBy reads; one needs
	// the field's own beside it.
	FilterWith []Parameter
}

// MaxString is the greatest length in characters of a String without a
// MaxLength of its own.
const MaxString = 4096

// maxIndexed is the greatest length of a String that lists can be filtered by:
// the store indexes 1024 bytes.
const maxIndexed = 256

// maxLength is the greatest length of the String in characters.
func (f *Field) maxLength() int {
	switch {
	case f.MaxLength > 0:
		return f.MaxLength
	case f.Filter != NotFiltered:
		return maxIndexed
	default:
		return MaxString
	}
}

// Parameter is the name of the query parameter that lists are filtered by the
// field at the dotted path with.
func (f *Field) Parameter(path string) string {
	if f.FilterAs != "" {
		return f.FilterAs
	}
	return path
}

// Filter says how a list can be filtered by a field: by exact match.
type Filter int

// The filters.
const (
	// NotFiltered is no parameter.
	NotFiltered Filter = iota
	// FilterOne takes one value.
	FilterOne
	// FilterAny takes several, in repeated parameters or separated by commas,
	// and selects what has any of them, or all as its words.
	FilterAny
)

// ReferenceTo says what a reference may refer to.
type ReferenceTo struct {
	// Kinds are the keys of the kinds that may be referred to.
	Kinds []string
	// OnDelete says what the deletion of the target does.
	OnDelete OnDelete
	// Asks is the operation that whoever makes the reference must be permitted on
	// the target, such as Assign; "" asks for nothing. A target that they may not
	// even know of is one that does not exist.
	Asks string
	// Typed references carry api_version and kind (the vendor's
	// ObjectReference beside GlobalObjectReference).
	Typed bool
	// Literals are IDs of what there is only one of; they are taken in any case
	// and kept as written here.
	Literals []string
	// Resolved references are filled in by the kind's Locate or BeforeWrite hook; the engine
	// stores them as they are, and refers to the target that they name in kind.
	Resolved bool
}

// OnDelete is what happens to an object when what it refers to is deleted.
type OnDelete int

// The reactions.
const (
	// Restrict refuses the deletion and names who refers.
	Restrict OnDelete = iota
	// Cascade deletes the referring object too.
	Cascade
	// Keep leaves the referring object as it is, with a reference to what no
	// longer exists: a record of what was.
	Keep
)

// literal returns the ID as the literal that it is in another case, or as it
// is.
func (to *ReferenceTo) literal(id string) string {
	for _, l := range to.Literals {
		if strings.EqualFold(l, id) {
			return l
		}
	}
	return id
}

// walk calls f for every field, parents first, with its dotted path.
func walk(fields []Field, prefix string, f func(path string, field *Field)) {
	for i := range fields {
		path := prefix + fields[i].Name
		f(path, &fields[i])
		if fields[i].Type == Structure {
			walk(fields[i].Fields, path+".", f)
		}
	}
}

// eachFilter calls f for every filter of lists: its query parameter, and the
// field that it is about with its dotted path.
func (k *Kind) eachFilter(f func(parameter, path string, field *Field)) {
	if k.FilterID != NotFiltered {
		f(store.FieldID, store.FieldID, &Field{Name: store.FieldID, Filter: k.FilterID})
	}
	walk(k.Fields, "", func(path string, field *Field) {
		if field.Filter != NotFiltered {
			f(field.Parameter(path), path, field)
		}
	})
}

// filter returns the field that the query parameter filters lists by, and its
// dotted path; nil for a parameter that is no filter.
func (k *Kind) filter(parameter string) (path string, field *Field) {
	k.eachFilter(func(name, p string, f *Field) {
		if name == parameter {
			path, field = p, f
		}
	})
	return path, field
}

// field returns the field at the dotted path, or nil.
func (k *Kind) field(path string) *Field {
	var found *Field
	walk(k.Fields, "", func(p string, f *Field) {
		if p == path {
			found = f
		}
	})
	return found
}

func (f *Field) allows(value string) bool {
	if f.EnumFold {
		value = strings.ToUpper(value)
	}
	return len(f.Enum) == 0 || slices.Contains(f.Enum, value)
}
