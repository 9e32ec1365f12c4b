package engine

import (
	"context"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

// Kind is everything that Weir knows of one kind of object. From this value
// come its operations, their status codes, validation, paging, filters,
// authorization, cascades, its part of the OpenAPI document, and the tests
// that every kind must pass.
type Kind struct {
	// Group and Version make the api_version, for example "iam" and "v2".
	Group, Version string
	// Name is the kind as objects carry it, for example "ServiceAccount".
	Name string
	// Description says in a sentence or two what the kind is, for the API
	// reference.
	Description string
	// Of makes this another version of that kind, over the same objects: what is
	// made through one is there through the other. Objects are stored as
	// documents of that kind, so a read or a list of this version decodes each
	// object once. That kind's hooks, links and unique names hold for both; ID,
	// Segment, Parent and Resource must be the same, and its fields are some of
	// that kind's. It has no update.
	Of *Kind
	// Path is the path of the collection. Where the kind has a Parent, the
	// one {parameter} in it is the parent's ID.
	Path string
	// Operations names the operation (a row of the table in package operation)
	// behind each verb that is served. Method, path, success status,
	// credentials and lifecycle stage come from that row.
	Operations map[Verb]string
	// ID is the shape of new identifiers.
	ID IDShape
	// Segment is the key of the kind's own segment in CRNs. Under tells what
	// the segment stands below; nil means below the Parent, which itself stands
	// below the organization then, and for kinds without one the organization.
	Segment string
	Under   func(o *Object) crn.CRN
	// Parent is the kind that contains this one, or nil.
	Parent *Kind
	// ParentField is the field of the body that names the parent, for kinds
	// whose path does not; it must be a required, immutable reference.
	ParentField string
	// ParentParameter is the query parameter by which read and delete must name
	// the parent, for kinds with a ParentField; "" for none. An object in
	// another parent is missing then. Links to the object have the parameter.
	ParentParameter string
	// Source computes the objects, for kinds that are not stored: these can be
	// listed and read, and nothing else.
	Source Source
	// Fields are the properties beside api_version, kind, id and metadata.
	Fields []Field
	// UniqueName is the field whose value no two live objects of the
	// organization (and parent) may share, or ""; with UniqueFold, not even in
	// another case of ASCII letters. NameTaken is the message.
	UniqueName, NameTaken string
	UniqueFold            bool
	// UniqueKey is for kinds whose identity is more than one field: it returns
	// what no two live objects may share, at most 1024 bytes. It takes the
	// place of UniqueName.
	UniqueKey func(o *Object) string
	// InUse begins the message of a deletion that is refused because others
	// refer to the object, where clients look for certain words; it ends in a
	// colon and a space.
	InUse string
	// BuiltIn returns an object with the ID that every organization has and that
	// is stored nowhere, or nil. It can be read and referred to, not changed or
	// deleted, and is in no list. r reads what it is made from; Kind, Org and ID
	// are filled in.
	BuiltIn func(ctx context.Context, r store.Reader, org, id string) (*Object, error)
	// OwnedBy is the field that names the principal who owns the object, or
	// "": owners have rights of their own (package authz). It is a reference,
	// or store.FieldID where the object is the principal, or a text that has
	// OwnerPrefix before the principal's ID.
	OwnedBy, OwnerPrefix string
	// Quotas limit how many objects there may be.
	Quotas []*Quota
	// Resource is the resource type that permissions are asked for, as the
	// vendor's documents spell it, for example "Environment".
	Resource string
	// CreateOn is the permission that create asks for on the containing
	// scope, where it is not Create on Resource.
	CreateOn *Permission
	// Asks replaces the operation that a verb asks for: by default Create,
	// Describe (for list and read), Alter and Delete.
	Asks map[Verb]string
	// Guards says what the questions are asked of, where that is not the
	// object by its own name (or, for create, the scope that will hold it):
	// permission on any one of them is enough.
	Guards func(o *Object) []Guard
	// GuardedAs are the resource types that Guards can return.
	GuardedAs []string
	// Missing answers for an object that is not there or is hidden; nil means
	// 404 resource_not_found.
	Missing func(id string) *api.Error
	// FilterID makes id a query parameter of list.
	FilterID Filter
	// PageSize is the default and the greatest page size of lists; zero means
	// 10 and 100.
	PageSize PageSize
	// Pages says which links beside next a list's metadata has.
	Pages Pages
	// Parameters are query parameters beside filters and paging.
	Parameters map[Verb][]Parameter
	// Methods names the verbs in the audit log where the names do not follow
	// from Name: by default CreateServiceAccount, UpdateServiceAccount,
	// DeleteServiceAccount, GetServiceAccount and, for list, GetServiceAccounts.
	// Noun takes the place of Name there: "APIKey".
	Methods map[Verb]string
	Noun    string
	// Codes are the errors that the hooks of a verb answer with, beside those
	// that every such operation can.
	Codes map[Verb][]*api.Code
	// Actions are operations on one object beside the five verbs.
	Actions []Action
	// Checks are operations that look at one object, which their body names, and
	// change nothing.
	Checks []Check
	// Usages is the field, read-only and an array of texts, that lists the names
	// of what holds the object in place: of all with a reference to it that
	// restricts. The engine keeps it; new objects have what BeforeWrite sets.
	Usages string
	// Links returns the references that the object makes in plain text fields
	// (a principal, a pattern); most kinds have none.
	Links func(o *Object) []Link
	Hooks Hooks
	ids   idRun
}

// Guard is what a permission is asked on.
type Guard struct {
	Resource string
	On       crn.Pattern
}

// Link is a reference that a plain text field makes.
type Link struct {
	Field    string
	To       store.Key
	OnDelete OnDelete
}

// Action is an operation on one object that is none of the five verbs: a
// request whose body has fields of its own.
type Action struct {
	// Operation is its id in the table of operations.
	Operation string
	// Asks is the operation that permission is asked for.
	Asks string
	// Fields are what the body may hold.
	Fields []Field
	// Method is its name in the audit log; by default that of the update.
	Method string
	// Apply changes w.New as the body says.
	Apply func(ctx context.Context, w *Write, body Doc) error
}

// Check is an operation that looks at one object and changes nothing. The body
// names the object by its property id and, where the kind has a ParentField, its
// parent by that.
type Check struct {
	// Operation is its id in the table of operations.
	Operation string
	// Asks is the operation that permission is asked for.
	Asks string
	// Fields are what the body may hold beside.
	Fields []Field
	// Run returns nil when all is well, or what is wrong as an *api.Error. It
	// runs outside of any transaction and may ask other systems, for as long as
	// the request lasts.
	Run func(ctx context.Context, e *Engine, o *Object, body Doc) error
}

// fields are all that the body of a check may hold.
func (c *Check) fields(k *Kind) []Field {
	out := []Field{{Name: "id", Required: true, MinLength: 1, MaxLength: MaxID, Description: "The ID of the " + k.Name + "."}}
	if k.ParentField != "" {
		parent := *k.field(k.ParentField)
		out = append(out, parent)
	}
	return append(out, c.Fields...)
}

// Permission is an operation on a resource type.
type Permission struct{ Operation, Resource string }

// PageSize is the default and the greatest number of objects on a page.
type PageSize struct{ Default, Max int }

// Pages are the optional parts of a list's metadata.
type Pages struct{ First, Last, Prev, Total bool }

// Parameter is a query parameter of one operation.
type Parameter struct {
	Name, Description, Example string
	// Required is for the API reference; the hook that reads it refuses.
	Required bool
}

// Hooks are the places where a kind adds what data cannot say. All may be nil;
// all run inside the transaction of the change, perhaps more than once.
type Hooks struct {
	// Locate finds what a new object is about, before the question whether the
	// caller may create it is put. Fields that have problems already are not
	// in New. What it returns as problems is reported with those.
	Locate func(ctx context.Context, w *Write) ([]api.Problem, error)
	// Validate returns the problems that field definitions cannot find. New
	// holds the object as it would be, without the fields that have problems
	// already, Old the one before or nil. References are not resolved yet.
	Validate func(w *Write) []api.Problem
	// BeforeWrite runs with references resolved, before the object is written;
	// it fills in what the server decides.
	BeforeWrite func(ctx context.Context, w *Write) error
	// AfterWrite runs after the object is written; it may write others.
	AfterWrite func(ctx context.Context, w *Write) error
	// Used runs when the Usages of the object have changed, and fills in what
	// follows from it.
	Used func(o *Object)
	// BeforeDelete runs before the object w.Old goes, by its own deletion or
	// by a cascade; an error refuses the deletion.
	BeforeDelete func(ctx context.Context, w *Write) error
	// AfterDelete runs once after a deletion with all of its cascade, for each
	// kind of which objects went; an error refuses the whole deletion.
	AfterDelete func(ctx context.Context, w *Write, gone []*Object) error
	// Retire takes the place of the removal of w.Old by its own delete
	// operation: the object stays, changed into w.New.
	Retire func(ctx context.Context, w *Write) error
}

// Write is one change under way, as hooks see it.
type Write struct {
	Engine *Engine
	Tx     store.Tx
	Verb   Verb
	// Caller is who asks; nil when Weir itself does.
	Caller *authn.Caller
	// Client is the address that the caller's request comes from, or the zero
	// Addr where that is not known.
	Client netip.Addr
	// Query holds the query parameters of the request, nil outside one.
	Query url.Values
	// Now is the time of the change.
	Now time.Time
	// Old is the object before, nil on create; New the object after, nil on
	// delete.
	Old, New *Object

	// request is the one that the change is part of, nil outside one.
	request *request
}

// Verb is one of the five operations that the engine derives.
type Verb string

// The verbs.
const (
	List   Verb = "list"
	Create Verb = "create"
	Read   Verb = "read"
	Update Verb = "update"
	Delete Verb = "delete"
	// act is an Action, Checking a Check.
	act      Verb = "act"
	Checking Verb = "check"
)

// Key is the kind's name: "iam/v2.ServiceAccount".
func (k *Kind) Key() string { return k.APIVersion() + "." + k.Name }

// StoreKey is the name that its objects have in the store, and in references.
func (k *Kind) StoreKey() string { return k.stored().Key() }

// stored is the kind whose documents are stored.
func (k *Kind) stored() *Kind {
	if k.Of != nil {
		return k.Of
	}
	return k
}

// APIVersion is the api_version of its objects: "iam/v2".
func (k *Kind) APIVersion() string { return k.Group + "/" + k.Version }

// ListKind is the kind of its lists: "ServiceAccountList".
func (k *Kind) ListKind() string { return k.Name + "List" }

func (k *Kind) hooks() *Hooks { return &k.stored().Hooks }

func (k *Kind) pageSize() PageSize {
	if k.PageSize == (PageSize{}) {
		return PageSize{Default: 10, Max: 100}
	}
	return k.PageSize
}

func (k *Kind) builtIn(ctx context.Context, r store.Reader, org, id string) (*Object, error) {
	if k.BuiltIn == nil {
		return nil, nil
	}
	o, err := k.BuiltIn(ctx, r, org, id)
	if o != nil {
		o.Kind, o.Org, o.ID = k, org, id
		o.stored = o.render(false)
	}
	return o, err
}

func (k *Kind) missing(id string) *api.Error {
	if k.Missing != nil {
		return k.Missing(id)
	}
	return api.New(api.ResourceNotFound, "The "+k.Name+" '"+id+"' does not exist, or you may not know of it")
}

// asks returns the operation that permission is asked for.
func (k *Kind) asks(v Verb) string {
	if operation := k.Asks[v]; operation != "" {
		return operation
	}
	switch v {
	case Create:
		return "Create"
	case Update:
		return "Alter"
	case Delete:
		return "Delete"
	default:
		return authz.Describe
	}
}

// permission is what a verb asks for, as the API reference tells it.
func (k *Kind) permission(v Verb) Permission {
	if v == Create && k.CreateOn != nil {
		return *k.CreateOn
	}
	return Permission{k.asks(v), k.Resource}
}

// indexed reports whether lists find what the caller may see by the names that
// a role can be bound to: of kinds that live in another object, or that say
// themselves what they are about. What stands directly below the organization
// is found by its ID.
func (k *Kind) indexed() bool { return k.Guards != nil || k.Parent != nil }

// guards returns what the questions about the object are asked of.
func (k *Kind) guards(v Verb, o *Object) []Guard {
	if k.Guards != nil {
		if guards := k.Guards(o); len(guards) > 0 {
			return guards
		}
		// The body does not say yet what the object is about; what is wrong
		// with it is told to those who may create such objects anywhere.
		return []Guard{{k.Resource, crn.PatternOf(OrganizationCRN(o.Org))}}
	}
	switch v {
	case Create:
		return []Guard{{k.Resource, crn.PatternOf(k.scope(o))}}
	default:
		return []Guard{{k.Resource, crn.PatternOf(k.CRN(o))}}
	}
}

// byName reports whether who may read an object is decided by its name alone, so
// that its document need not be decoded for that.
func (k *Kind) byName() bool {
	return k.Guards == nil && k.Under == nil && (k.OwnedBy == "" || k.OwnedBy == store.FieldID)
}

// owner returns the ID of the principal who owns the object, or "".
func (k *Kind) owner(o *Object) string {
	switch k.OwnedBy {
	case "":
		return ""
	case store.FieldID:
		return o.ID
	default:
		if k.OwnerPrefix != "" {
			return strings.TrimPrefix(o.Doc.String(k.OwnedBy), k.OwnerPrefix)
		}
		return o.Doc.String(k.OwnedBy + ".id")
	}
}

// CRN returns the object's resource name.
func (k *Kind) CRN(o *Object) crn.CRN {
	if k.Segment == "" {
		return k.scope(o)
	}
	return crn.Must(k.scope(o).Append(k.Segment, o.ID))
}

// OrganizationCRN is the root of an organization's resource names. Their
// authority is the real service's, so that names written in Terraform files
// hold on both.
func OrganizationCRN(org string) crn.CRN {
	return authz.Root(org)
}
