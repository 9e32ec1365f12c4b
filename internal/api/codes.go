package api

import (
	"net/http"
	"strings"
)

// Code is one row of the table of error codes: what kind of failure it is,
// what it means, and what the user can do about it. The page that an error's
// doc_url names is made from it.
type Code struct {
	// Name is the code as errors[].code has it, in lower case.
	Name string
	// Status is the HTTP status of answers with this code.
	Status int
	// Title names the failure, the same in every occurrence.
	Title string
	// Meaning and Remedy are whole sentences: what happened in general, and
	// what to do next.
	Meaning, Remedy string
	// Number is the numeric code that older parts of the API send beside; such
	// errors carry it and their message at the top of the body too. 0 is none.
	Number int
}

// Upper is the code as error.code has it: RESOURCE_NOT_FOUND.
func (c *Code) Upper() string {
	return strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_"))
}

// The codes. Names and titles follow facts of the real service where one is
// known (the vendor's examples and recorded answers).
var (
	MalformedRequest = &Code{"malformed_request", http.StatusBadRequest, "Malformed Request",
		"The request could not be read as HTTP with a JSON object in its body.",
		"Correct the request at the position that the message names and send it again.", 0}
	InvalidParameter = &Code{"invalid_parameter", http.StatusBadRequest, "Invalid Parameter",
		"A query parameter has a value that the operation does not take.",
		"Correct the parameter that source.parameter names; the API reference lists what it takes.", 0}
	InvalidPageToken = &Code{"invalid_page_token", http.StatusBadRequest, "Invalid Page Token",
		"The page token was not issued by this server for this list with these filters, or it is too old.",
		"Start again from the first page, and follow the links in metadata unchanged.", 0}
	BadRequest = &Code{"bad_request", http.StatusBadRequest, "Bad Request",
		"The request was understood, but the state of the object does not allow it.",
		"Read the object, and repeat the request when its state allows it.", 0}
	InvalidRole = &Code{"invalid-role", http.StatusBadRequest, "Invalid Role",
		"The role binding names a role that does not exist.",
		"Use one of the predefined roles; the operator's guide lists them.", 0}
	InvalidExchange = &Code{"invalid_token_exchange", http.StatusBadRequest, "Invalid Token Exchange",
		"The security token service gives out no token for this request: a field is missing or wrong, or the subject token is not good for the identity pool.",
		"Correct what the message names. Take a new token from the identity provider if it is the token, and look at the filter of the identity pool if the token does not pass it.", 0}
	WrongScope = &Code{"invalid_role_scope", http.StatusBadRequest, "Invalid Role Scope",
		"The role cannot be bound to the kind of resource that the pattern names.",
		"Bind the role to a scope that it takes, or choose another role.", 40002}
	QuotaExceeded = &Code{"quota_exceeded", http.StatusPaymentRequired, "Quota Exceeded",
		"The organization, or a part of it, already has as many objects of the kind as it may have.",
		"Delete what is no longer needed, or ask the server's operator for a higher limit ('weir quotas set').", 0}
	LockOut = &Code{"requester_locked_out", http.StatusBadRequest, "Requester Locked Out",
		"The change of an IP filter or IP group would keep out the address that the request comes from.",
		"Let in the address that the message names too, or make the change from an address that stays allowed.", 0}
	RoleBindingForbidden = &Code{"role_binding_forbidden", http.StatusForbidden, "Forbidden Access",
		"The role binding does not exist, or the caller may not know of it.",
		"Check the identifier, or ask an administrator of the organization for access.", 40301}
	Unauthenticated = &Code{"user_unauthenticated", http.StatusUnauthorized, "Authentication Required",
		"The request carries no valid credentials for this operation.",
		"Send a Cloud API key and its secret as HTTP Basic credentials; 'weir keys create' makes a new key when none is left.", 0}
	UserUnauthorized = &Code{"user_unauthorized", http.StatusForbidden, "User Access Unauthorized",
		"The caller is known, but no role allows it this operation here.",
		"Ask an administrator of the organization for a role that allows it.", 0}
	ForbiddenAccess = &Code{"forbidden_access", http.StatusForbidden, "Forbidden Access",
		"The object does not exist, or the caller may not know of it.",
		"Check the identifier, or ask an administrator of the organization for access.", 0}
	AddressNotAllowed = &Code{"ip_address_not_allowed", http.StatusForbidden, "IP Address Not Allowed",
		"The caller is known, but an IP filter does not allow requests from the address that this one comes from.",
		"Call from an allowed network, or have an administrator add the address to an IP group; on the server's own machine 'weir ip-filters suspend' lets everybody in.", 0}
	InsufficientScope = &Code{"insufficient_scope", http.StatusForbidden, "Insufficient Scope",
		"The access token is valid, but was not granted the scope that the operation asks for.",
		"Ask /oauth2/token for a token with the scope that the message names, or the server's operator for a client that may have it.", 0}
	HTTPSRequired = &Code{"https_required", http.StatusForbidden, "HTTPS Required",
		"Plain HTTP is answered on loopback only, or for a trusted proxy that says it terminated TLS.",
		"Call the server over HTTPS.", 0}
	RouteNotFound = &Code{"route_not_found", http.StatusNotFound, "Not Found",
		"The API has no operation at this path.",
		"Check the path; the API reference at /docs lists every operation.", 0}
	ResourceNotFound = &Code{"resource_not_found", http.StatusNotFound, "Resource Not Found",
		"The object does not exist, or the caller may not know of it.",
		"Check the identifier, and list the objects to see which exist.", 0}
	ProviderIntegrationNotFound = &Code{"provider_integration_not_found", http.StatusNotFound, "Provider Integration Not Found",
		"The provider integration does not exist in the environment, or the caller may not know of it.",
		"Check the identifier and the environment, and list the provider integrations of the environment to see which exist.", 404}
	ServiceAccountNotFound = &Code{"service_account_not_found", http.StatusNotFound, "Service Account Not Found",
		"The service account does not exist, or the caller may not know of it.",
		"Check the identifier, and list the service accounts to see which exist.", 0}
	IdentityPoolNotFound = &Code{"identity_pool_not_found", http.StatusNotFound, "Identity Pool Not Found",
		"The identity pool or its identity provider does not exist, or the caller may not know of it.",
		"Check both identifiers, and list the identity pools of the provider to see which exist.", http.StatusNotFound}
	IdentityProviderNotFound = &Code{"identity_provider_not_found", http.StatusNotFound, "Identity Provider Not Found",
		"The identity provider does not exist, or the caller may not know of it.",
		"Check the identifier, and list the identity providers to see which exist.", http.StatusNotFound}
	MethodNotAllowed = &Code{"method_not_allowed", http.StatusMethodNotAllowed, "Method Not Allowed",
		"The path exists, but not with this method.",
		"Use one of the methods in the Allow header.", 0}
	NotAcceptable = &Code{"not_acceptable", http.StatusNotAcceptable, "Not Acceptable",
		"The operation answers in JSON only, and the Accept header excludes JSON.",
		"Send Accept: application/json, or no Accept header.", 0}
	AlreadyExists = &Code{"resource_already_exists", http.StatusConflict, "Resource Already Exists",
		"Another object already has a value that must be unique.",
		"Choose another value, or use the object that the Location header names.", 0}
	InUse = &Code{"resource_in_use", http.StatusConflict, "Resource In Use",
		"Other objects refer to this one.",
		"Delete or change the objects that the message names first.", 0}
	PayloadTooLarge = &Code{"payload_too_large", http.StatusRequestEntityTooLarge, "Payload Too Large",
		"The body of the request is larger than the server accepts.",
		"Send a smaller body.", 0}
	UnsupportedMediaType = &Code{"unsupported_media_type", http.StatusUnsupportedMediaType, "Unsupported Media Type",
		"The body of the request is not declared as JSON.",
		"Send Content-Type: application/json.", 0}
	ValidationFailed = &Code{"invalid_configuration", http.StatusUnprocessableEntity, "Validation Failed",
		"The request was read, but fields in it are missing or have values that are not allowed.",
		"Correct each field that the errors point at and send the request again.", 0}
	TooManyRequests = &Code{"too_many_requests", http.StatusTooManyRequests, "Too Many Requests",
		"More requests arrived than the limit allows.",
		"Wait as long as the Retry-After header says, then try again with growing, jittered delays.", 0}
	Internal = &Code{"internal_error", http.StatusInternalServerError, "Internal Server Error",
		"Something went wrong in the server; its log has the cause under the request's id.",
		"Try again; if it persists, give the requestId to the server's operator.", 0}
	NotImplemented = &Code{"not_implemented", http.StatusNotImplemented, "Not Implemented",
		"The operation is part of the public API, but this server does not serve it yet.",
		"See /docs for the operations that are served.", 0}
	Unavailable = &Code{"service_unavailable", http.StatusServiceUnavailable, "Service Unavailable",
		"The server cannot reach its database or another system that the operation needs, or is shutting down.",
		"Try again as the Retry-After header says; /readyz tells when the server is ready.", 0}
)

// Codes lists every code, in the order of status and name.
func Codes() []*Code {
	return []*Code{
		BadRequest, InvalidPageToken, InvalidParameter, InvalidRole, WrongScope, InvalidExchange, MalformedRequest, LockOut,
		Unauthenticated,
		QuotaExceeded,
		ForbiddenAccess, HTTPSRequired, InsufficientScope, AddressNotAllowed, RoleBindingForbidden, UserUnauthorized,
		IdentityPoolNotFound, IdentityProviderNotFound, ProviderIntegrationNotFound, ResourceNotFound, RouteNotFound, ServiceAccountNotFound,
		MethodNotAllowed, NotAcceptable,
		AlreadyExists, InUse,
		PayloadTooLarge, UnsupportedMediaType, ValidationFailed, TooManyRequests,
		Internal, NotImplemented, Unavailable,
	}
}
