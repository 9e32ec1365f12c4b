package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// kafkaTimeout bounds how long records wait for the brokers.
const kafkaTimeout = 30 * time.Second

// kafkaURL is what the URL of a Kafka sink says.
type kafkaURL struct {
	brokers []string
	topic   string
	tls     bool
	sasl    sasl.Mechanism
}

func parseKafka(u *url.URL) (kafkaURL, error) {
	k := kafkaURL{topic: strings.TrimPrefix(u.Path, "/")}
	query := u.Query()
	k.brokers = append([]string{u.Host}, query["broker"]...)
	if slices.Contains(k.brokers, "") {
		return k, errors.New("a Kafka audit sink is kafka://host:port/topic, with ?broker=host:port for each further broker")
	}
	if k.topic == "" {
		k.topic = Topic
	}
	for name := range query {
		if name != "broker" && name != "tls" && name != "sasl" {
			return k, errors.New("a Kafka audit sink takes the parameters broker, tls and sasl, and no others")
		}
	}
	if text := query.Get("tls"); text != "" {
		var err error
		if k.tls, err = strconv.ParseBool(text); err != nil {
			return k, errors.New("the parameter tls of a Kafka audit sink is true or false")
		}
	}
	user := u.User.Username()
	password, _ := u.User.Password()
	switch mechanism := query.Get("sasl"); {
	case u.User == nil && mechanism == "":
	case mechanism == "" || mechanism == "plain":
		k.sasl = plain.Auth{User: user, Pass: password}.AsMechanism()
	case mechanism == "scram-sha-256":
		k.sasl = scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case mechanism == "scram-sha-512":
		k.sasl = scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	default:
		return k, errors.New("the parameter sasl of a Kafka audit sink is plain, scram-sha-256 or scram-sha-512")
	}
	if k.sasl != nil && !k.tls {
		for _, broker := range k.brokers {
			if host, _, _ := strings.Cut(broker, ":"); !local(host) {
				return k, errors.New("a Kafka audit sink on another machine gets a password over TLS only: add tls=true")
			}
		}
	}
	return k, nil
}

func (k kafkaURL) open(o Options) (Sink, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(k.brokers...), kgo.DefaultProduceTopic(k.topic), kgo.ClientID("weir"),
		// The default partitioner keeps records of one key, an organization, in
		// one partition, and the producer is idempotent: retries of its own
		// neither repeat records nor change their order.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(kafkaTimeout),
	}
	if k.tls {
		c, err := o.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(c))
	}
	if k.sasl != nil {
		options = append(options, kgo.SASL(k.sasl))
	}
	t := &topic{options: options}
	if err := t.connect(); err != nil {
		return nil, err
	}
	return t, nil
}

// topic produces events as CloudEvents' Kafka binding says, in structured mode.
type topic struct {
	options []kgo.Opt
	// client is nil after one was given up.
	client *kgo.Client
}

func (t *topic) connect() (err error) {
	t.client, err = kgo.NewClient(t.options...)
	return err
}

func (t *topic) Deliver(ctx context.Context, events []Message) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = &kgo.Record{
			Key: []byte(e.Org), Value: e.Body,
			Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}},
		}
	}
	if t.client == nil {
		if err := t.connect(); err != nil {
			return 0, err
		}
	}
	// An idempotent producer does not give up records of which it cannot tell
	// whether a broker has them, not even when the context ends. Closing it does;
	// the next one sends them again.
	keep := context.AfterFunc(ctx, t.client.Close)
	err := t.client.ProduceSync(ctx, records...).FirstErr()
	if !keep() {
		t.client = nil
	}
	if err != nil {
		return 0, fmt.Errorf("produce: %w", err)
	}
	return len(events), nil
}

func (t *topic) Close() error {
	if t.client != nil {
		t.client.Close()
	}
	return nil
}
