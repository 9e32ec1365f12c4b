package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirhq/weir/internal/audit/delivery"
	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/cloudaccess"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/tracing"
)

// Names of settings: as flags with two dashes, in the environment in upper
// case with underscores behind WEIR_, in the file as they are.
const (
	configFile         = "config"
	listen             = "listen"
	dataDir            = "data-dir"
	databaseURL        = "database-url"
	publicURL          = "public-url"
	tlsCert            = "tls-cert"
	tlsKey             = "tls-key"
	tlsSelfSigned      = "tls-self-signed"
	tlsClientCerts     = "tls-client-certificates"
	trustedProxy       = "trusted-proxy"
	proxyProtocol      = "proxy-protocol"
	rateLimitPrincipal = "rate-limit-principal"
	rateLimitAddress   = "rate-limit-address"
	smtpURL            = "smtp-url"
	mailFrom           = "mail-from"
	awsAccountID       = "aws-account-id"
	azureAppID         = "azure-app-id"
	gcpProject         = "gcp-project"
	cloudCheck         = "cloud-check"
	awsSTSURL          = "aws-sts-url"
	azureAuthorityURL  = "azure-authority-url"
	gcpCredentialsURL  = "gcp-credentials-url"
	azureClientSecret  = "azure-client-secret"
	auditSink          = "audit-sink"
	auditRetention     = "audit-retention"
	auditMaxSize       = "audit-max-size"
	auditFileSize      = "audit-file-size"
	auditFileAge       = "audit-file-age"
	auditFileCount     = "audit-file-count"
	auditCA            = "audit-ca"
	auditHTTPBatch     = "audit-http-batch"
	oauthAllowNetwork  = "oauth-allow-network"
	traceEndpoint      = "trace-endpoint"
	traceSample        = "trace-sample"
	logFormat          = "log-format"
	logLevel           = "log-level"

	rateLimitOrganization        = "rate-limit-organization"
	concurrencyLimitPrincipal    = "concurrency-limit-principal"
	concurrencyLimitOrganization = "concurrency-limit-organization"
	concurrencyLimitAddress      = "concurrency-limit-address"
	maxConnections               = "max-connections"
	cacheSize                    = "cache-size"

	bootstrapAPIKey         = "bootstrap-api-key"
	bootstrapAPISecret      = "bootstrap-api-secret"
	bootstrapEmail          = "bootstrap-email"
	bootstrapPassword       = "bootstrap-password"
	bootstrapOrganizationID = "bootstrap-organization-id"
)

// withoutFlag are the settings that the environment and the file alone have:
// other users of the machine can see flags.
var withoutFlag = []string{bootstrapAPIKey, bootstrapAPISecret, bootstrapEmail, bootstrapPassword, bootstrapOrganizationID, azureClientSecret}

// secret are the settings that are never printed.
var secret = []string{azureClientSecret, bootstrapAPISecret, bootstrapPassword}

// lists are the settings with several values, separated by commas in the
// environment.
var lists = []string{auditSink, cloudCheck, oauthAllowNetwork, trustedProxy}

func storeFlags(f *pflag.FlagSet) {
	f.String(configFile, "", "read settings from this YAML `file`; its keys are the names of these flags")
	f.String(dataDir, "./weir-data", "`directory` for the embedded database, credentials.env and the local CA")
	f.String(databaseURL, "", "`postgres://` URL of a PostgreSQL database; without it, SQLite in the data directory")
	f.String(logFormat, "text", "format of the log on standard error: text or json")
	f.String(logLevel, "info", "least level that is logged: debug, info, warn or error")
}

func serveFlags(f *pflag.FlagSet) {
	storeFlags(f)
	f.String(listen, "127.0.0.1:8080", "`address` to serve on; port 0 takes a free one. Beyond loopback, TLS or a trusted proxy is required")
	f.String(publicURL, "", "base `URL` of the links in answers; made from the listener by default")
	f.String(tlsCert, "", "PEM `file` with the certificate chain for HTTPS")
	f.String(tlsKey, "", "PEM `file` with the certificate's private key")
	f.Bool(tlsSelfSigned, false, "make a local CA in the data directory, once, and serve HTTPS with a certificate from it")
	f.Bool(tlsClientCerts, false, "ask clients for a certificate, and let workloads in by it, without a key; browsers that have one ask their users which to show")
	f.StringSlice(trustedProxy, nil, "`CIDR` of proxies that terminate TLS and are believed about the client's address; may be repeated")
	f.Bool(proxyProtocol, false, "the trusted proxies pass on TLS and tell the client's address in the PROXY protocol, version 1 or 2, in place of headers")
	f.Int(rateLimitPrincipal, 500, "requests a second for each principal, in bursts of ten times as many; 0 for no limit")
	f.Int(rateLimitOrganization, 2000, "requests a second for each organization, in bursts of ten times as many; 0 for no limit")
	f.Int(rateLimitAddress, 10, "requests a second for each address without valid credentials, in bursts of ten times as many; 0 for no limit")
	f.Int(concurrencyLimitPrincipal, 200, "requests of each principal at once; 0 for no limit")
	f.Int(concurrencyLimitOrganization, 1000, "requests of each organization at once; 0 for no limit")
	f.Int(maxConnections, 10000, "connections that may be open at once; beyond that the one that is idle for the longest is closed; 0 for no limit")
	f.Int(cacheSize, 64, "`MiB` of memory for what was read from the embedded database, at least 32; 0 for none; with PostgreSQL it does nothing")
	f.Int(concurrencyLimitAddress, 50, "requests of each address without valid credentials at once; 0 for no limit")
	f.String(smtpURL, "", "`URL` of the server that mail goes through: smtp://user:password@host:587 (STARTTLS) or smtps://host:465; without it, mail is written into outbox/ in the data directory")
	f.String(awsAccountID, cloudaccess.Placeholder.AWSAccountID, "AWS `account` of the IAM roles that provider integrations name; the default is the one of AWS's examples")
	f.String(azureAppID, cloudaccess.Placeholder.AzureAppID, "client `ID` of the multi-tenant application in Azure that provider integrations name; the default stands for none")
	f.String(gcpProject, cloudaccess.Placeholder.GCPProject, "Google Cloud `project` of the service accounts that provider integrations name; the default stands for none")
	f.StringSlice(cloudCheck, nil, "`clouds` that are asked when a provider integration is validated: aws, azure, gcp; the others are checked by the shape of what they are given")
	f.String(awsSTSURL, "", "`URL` of AWS's Security Token Service, in place of its own")
	f.String(azureAuthorityURL, "", "`URL` of Microsoft Entra ID, in place of its own")
	f.String(gcpCredentialsURL, "", "`URL` of Google's IAM Service Account Credentials API, in place of its own")
	f.StringSlice(auditSink, []string{"file:audit/audit.jsonl"}, "`URL` that the audit log is delivered to; may be repeated: file:PATH in the data directory or file:///PATH, stdout:, https://host/path, kafka://host:9092/topic; none keeps it in the database alone")
	f.Duration(auditRetention, 30*24*time.Hour, "how long events of the audit log are kept in the database, delivered or not; 0 for no bound")
	f.Int(auditMaxSize, 1024, "how many `MiB` of events are kept in the database, delivered or not; 0 for no bound")
	f.Int(auditFileSize, 100, "size in `MiB` at which a new audit file is begun; 0 for no bound")
	f.Duration(auditFileAge, 24*time.Hour, "age at which a new audit file is begun; 0 for no bound")
	f.Int(auditFileCount, 30, "how many full audit files are kept; 0 for all of them")
	f.String(auditCA, "", "PEM `file` with the certificates that servers of audit sinks are trusted by; those of the system by default")
	f.Bool(auditHTTPBatch, false, "send many events in one request to the HTTP endpoints of --audit-sink, as a CloudEvents batch")
	f.String(traceEndpoint, "", "`URL` of an OpenTelemetry collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; without it there are no traces")
	f.Float64(traceSample, 1, "part of the requests that are traced, from 0 to 1, where the client does not say whether this one is")
	f.String(mailFrom, "", "`address` that mail is from, such as \"Weir <weir@example.com>\"; needed with --smtp-url")
	f.StringSlice(oauthAllowNetwork, nil, "`CIDR` in which the keys of identity providers and lists of revoked certificates may be fetched, over plain HTTP too, beside public addresses over HTTPS; may be repeated. Without it, loopback while the server listens there and trusts no proxy")
}

// load reads the settings: a flag wins over the environment, the environment
// over the file, the file over the default.
func load(flags *pflag.FlagSet) (*koanf.Koanf, error) {
	known := slices.Clone(withoutFlag)
	flags.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	// A file may be shared by commands that know fewer flags.
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	serveFlags(all)
	all.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })

	k := koanf.New(".")
	path, _ := flags.GetString(configFile)
	if path == "" {
		path = os.Getenv("WEIR_CONFIG")
	}
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("read --config %s: %w", path, err)
		}
		for _, key := range k.Keys() {
			if !slices.Contains(known, key) || key == configFile {
				return nil, fmt.Errorf("read --config %s: there is no setting %q; 'weir serve --help' lists them", path, key)
			}
		}
	}
	environment := env.Provider(".", env.Opt{Prefix: "WEIR_", TransformFunc: func(key, value string) (string, any) {
		key = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, "WEIR_")), "_", "-")
		if !slices.Contains(known, key) || value == "" {
			return "", nil
		}
		if slices.Contains(lists, key) {
			return key, strings.Split(value, ",")
		}
		return key, value
	}})
	if err := k.Load(environment, nil); err != nil {
		return nil, fmt.Errorf("read the environment: %w", err)
	}
	if err := k.Load(posflag.Provider(flags, ".", k), nil); err != nil {
		return nil, fmt.Errorf("read the flags: %w", err)
	}
	return k, checkTypes(k, all)
}

// loadWithLog reads the settings of a command, and makes the log that they ask
// for.
func loadWithLog(cmd *cobra.Command) (*koanf.Koanf, *slog.Logger, error) {
	k, err := load(cmd.Flags())
	if err != nil {
		return nil, nil, err
	}
	log, err := logger(k, cmd.ErrOrStderr())
	return k, log, err
}

// checkTypes refuses values that are not of their flag's type: taken for zero,
// a limit with a mistake in it would be none.
func checkTypes(k *koanf.Koanf, flags *pflag.FlagSet) error {
	var problems []error
	flags.VisitAll(func(f *pflag.Flag) {
		text := k.String(f.Name)
		var err error
		switch f.Value.Type() {
		case "int":
			_, err = strconv.Atoi(text)
		case "bool":
			_, err = strconv.ParseBool(text)
		case "float64":
			_, err = strconv.ParseFloat(text, 64)
		case "duration":
			_, err = time.ParseDuration(text)
		}
		if err != nil && k.Exists(f.Name) {
			problems = append(problems, fmt.Errorf("--%s %q is not of the type %s", f.Name, text, f.Value.Type()))
		}
	})
	return errors.Join(problems...)
}

// serverConfig turns settings into the server's configuration.
func serverConfig(k *koanf.Koanf) server.Config {
	return server.Config{
		Listen: k.String(listen), DataDir: k.String(dataDir), DatabaseURL: k.String(databaseURL), CacheSize: k.Int(cacheSize),
		PublicURL: k.String(publicURL), TLSCert: k.String(tlsCert), TLSKey: k.String(tlsKey),
		TLSSelfSigned: k.Bool(tlsSelfSigned), TLSClientCertificates: k.Bool(tlsClientCerts), TrustedProxies: several(k, trustedProxy), ProxyProtocol: k.Bool(proxyProtocol),
		RateLimitPrincipal: k.Int(rateLimitPrincipal), RateLimitOrganization: k.Int(rateLimitOrganization), RateLimitAddress: k.Int(rateLimitAddress),
		ConcurrencyLimitPrincipal: k.Int(concurrencyLimitPrincipal), ConcurrencyLimitOrganization: k.Int(concurrencyLimitOrganization),
		ConcurrencyLimitAddress: k.Int(concurrencyLimitAddress), MaxConnections: k.Int(maxConnections),
		SMTPURL: k.String(smtpURL), MailFrom: k.String(mailFrom), OAuthNetworks: several(k, oauthAllowNetwork),
		Clouds: cloudaccess.Options{
			Identity: cloudaccess.Identity{AWSAccountID: k.String(awsAccountID), AzureAppID: k.String(azureAppID), GCPProject: k.String(gcpProject)},
			Ask:      several(k, cloudCheck), AzureClientSecret: k.String(azureClientSecret),
			AWSSTSURL: k.String(awsSTSURL), AzureAuthorityURL: k.String(azureAuthorityURL), GCPCredentialsURL: k.String(gcpCredentialsURL),
		},
		Audit: delivery.Options{
			Sinks:     slices.DeleteFunc(several(k, auditSink), func(s string) bool { return s == noSink }),
			FileBytes: k.Int64(auditFileSize) << 20, FileAge: k.Duration(auditFileAge), FileCount: k.Int(auditFileCount),
			CAFile: k.String(auditCA), HTTPBatch: k.Bool(auditHTTPBatch),
			Retain: delivery.Bounds{Age: k.Duration(auditRetention), Bytes: k.Int64(auditMaxSize) << 20},
		},
		Traces: tracing.Options{Endpoint: k.String(traceEndpoint), Sample: k.Float64(traceSample)},
		Bootstrap: bootstrap.Options{
			APIKey: k.String(bootstrapAPIKey), APISecret: k.String(bootstrapAPISecret),
			Email: k.String(bootstrapEmail), Password: k.String(bootstrapPassword),
			OrganizationID: k.String(bootstrapOrganizationID),
		},
	}
}

// noSink stands for no audit sink.
const noSink = "none"

// several reads a setting with several values, which a file may also give as
// one text with commas.
func several(k *koanf.Koanf, name string) []string {
	if text, ok := k.Get(name).(string); ok {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return k.Strings(name)
}

// logger returns the log that the settings ask for.
func logger(k *koanf.Koanf, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(k.String(logLevel))); err != nil {
		return nil, fmt.Errorf("--log-level %q is none of debug, info, warn, error", k.String(logLevel))
	}
	options := &slog.HandlerOptions{Level: level}
	switch k.String(logFormat) {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("--log-format %q is neither text nor json", k.String(logFormat))
	}
}

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Print the effective configuration, secrets masked", Args: cobra.NoArgs,
		Long: "Print the configuration that 'weir serve' would run with, as YAML that --config reads, secrets masked.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := load(cmd.Flags())
			if err != nil {
				return err
			}
			if err := errors.Join(serverConfig(k).Check(), checkLog(k)); err != nil {
				return err
			}
			settings := k.All()
			delete(settings, configFile)
			for _, name := range secret {
				if settings[name] != nil {
					settings[name] = mask
				}
			}
			settings[databaseURL] = maskURL(k.String(databaseURL))
			settings[smtpURL] = maskURL(k.String(smtpURL))
			settings[traceEndpoint] = maskSink(k.String(traceEndpoint))
			var sinks []string
			for _, sink := range several(k, auditSink) {
				sinks = append(sinks, maskSink(sink))
			}
			settings[auditSink] = sinks
			delete(settings, "help")
			out, err := yaml.Parser().Marshal(settings)
			if err != nil {
				return fmt.Errorf("print the configuration: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	serveFlags(c.Flags())
	return c
}

const mask = "xxxxx"

// maskURL hides what is secret in the URL of a server: the password, wherever it
// stands, and everything where it cannot be told what is what.
func maskURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && u.Opaque != "" || u.Scheme == "" || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return mask
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), mask)
	}
	query := u.Query()
	for name := range query {
		if strings.Contains(strings.ToLower(name), "pass") {
			query.Set(name, mask)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// maskSink hides what is secret in the URL of an audit sink: who signs in, and
// the values of parameters, which may be tokens.
func maskSink(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return mask
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), mask)
	} else if u.User != nil {
		u.User = url.User(mask) // a token, maybe
	}
	if query := u.Query(); u.Scheme != "kafka" && len(query) > 0 {
		for name := range query {
			query.Set(name, mask)
		}
		u.RawQuery = query.Encode()
	}
	return u.String()
}

func checkLog(k *koanf.Koanf) error {
	_, err := logger(k, io.Discard)
	return err
}
