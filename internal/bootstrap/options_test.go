package bootstrap

import (
	"strings"
	"testing"
)

func TestOptionsCheck(t *testing.T) {
	t.Parallel()
	const id = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	all := Options{APIKey: "ABCDEFGH01234567", APISecret: "0123456789abcdef", Email: "admin@example.com", Password: "12345678", OrganizationID: id}
	for name, c := range map[string]struct {
		change func(o *Options)
		// variable is the one at fault, or "".
		variable string
	}{
		"nothing is fixed":            {func(o *Options) { *o = Options{} }, ""},
		"everything is fixed":         {func(*Options) {}, ""},
		"key too short":               {func(o *Options) { o.APIKey = o.APIKey[1:] }, "WEIR_BOOTSTRAP_API_KEY"},
		"key too long":                {func(o *Options) { o.APIKey += "A" }, "WEIR_BOOTSTRAP_API_KEY"},
		"key in lower case":           {func(o *Options) { o.APIKey = strings.ToLower(o.APIKey) }, "WEIR_BOOTSTRAP_API_KEY"},
		"key with a line end":         {func(o *Options) { o.APIKey = o.APIKey[1:] + "\n" }, "WEIR_BOOTSTRAP_API_KEY"},
		"longest secret":              {func(o *Options) { o.APISecret = strings.Repeat("x", 128) }, ""},
		"secret too long":             {func(o *Options) { o.APISecret = strings.Repeat("x", 129) }, "WEIR_BOOTSTRAP_API_SECRET"},
		"secret too short":            {func(o *Options) { o.APISecret = o.APISecret[1:] }, "WEIR_BOOTSTRAP_API_SECRET"},
		"secret with a space":         {func(o *Options) { o.APISecret = "0123456789 abcdef" }, "WEIR_BOOTSTRAP_API_SECRET"},
		"secret with a line end":      {func(o *Options) { o.APISecret = "0123456789abcdef\n" }, "WEIR_BOOTSTRAP_API_SECRET"},
		"secret beyond ASCII":         {func(o *Options) { o.APISecret = "0123456789abcdefé" }, "WEIR_BOOTSTRAP_API_SECRET"},
		"odd secret":                  {func(o *Options) { o.APISecret = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" }, ""},
		"address with a name":         {func(o *Options) { o.Email = "Admin <admin@example.com>" }, "WEIR_BOOTSTRAP_EMAIL"},
		"no address":                  {func(o *Options) { o.Email = "admin" }, "WEIR_BOOTSTRAP_EMAIL"},
		"two addresses":               {func(o *Options) { o.Email = "a@example.com,b@example.com" }, "WEIR_BOOTSTRAP_EMAIL"},
		"address with a space":        {func(o *Options) { o.Email = " admin@example.com" }, "WEIR_BOOTSTRAP_EMAIL"},
		"address with a quote":        {func(o *Options) { o.Email = "o'brien@example.com" }, ""},
		"password too short":          {func(o *Options) { o.Password = "1234567" }, "WEIR_BOOTSTRAP_PASSWORD"},
		"longest password":            {func(o *Options) { o.Password = strings.Repeat("'", 128) }, ""},
		"password too long":           {func(o *Options) { o.Password = strings.Repeat("x", 129) }, "WEIR_BOOTSTRAP_PASSWORD"},
		"password with a NUL":         {func(o *Options) { o.Password = "12345678\x00" }, "WEIR_BOOTSTRAP_PASSWORD"},
		"password with DEL":           {func(o *Options) { o.Password = "12345678\x7f" }, "WEIR_BOOTSTRAP_PASSWORD"},
		"organization in capitals":    {func(o *Options) { o.OrganizationID = strings.ToUpper(id) }, "WEIR_BOOTSTRAP_ORGANIZATION_ID"},
		"organization without dashes": {func(o *Options) { o.OrganizationID = strings.ReplaceAll(id, "-", "") }, "WEIR_BOOTSTRAP_ORGANIZATION_ID"},
		"organization in braces":      {func(o *Options) { o.OrganizationID = "{" + id + "}" }, "WEIR_BOOTSTRAP_ORGANIZATION_ID"},
		"organization by name":        {func(o *Options) { o.OrganizationID = "finance" }, "WEIR_BOOTSTRAP_ORGANIZATION_ID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := all
			c.change(&o)
			err := o.Check()
			if c.variable == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.variable+" must") {
				t.Fatalf("the error is %v, want one about %s", err, c.variable)
			}
			for _, secret := range []string{o.APISecret, o.Password} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error has the secret in it: %v", err)
				}
			}
		})
	}
}
