package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weirhq/weir/internal/audit/audittest"
)

// consume reads n records of the topic, at least, by partition.
func consume(t *testing.T, topic string, n int, options ...kgo.Opt) map[int32][]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	records := map[int32][]*kgo.Record{}
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records came", len(seen), n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records[r.Partition] = append(records[r.Partition], r)
			seen[audittest.Read(t, r.Value).ID] = true
		})
	}
	return records
}

// The brokers go away and come back under load: every event is in the topic,
// all of an organization in one partition, in order.
func TestKafka(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(3, Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s := database{dir: t.TempDir()}.open(t)
	addresses := cluster.ListenAddrs()
	c := newCourier(t, s, fast("kafka://"+addresses[0]+"?broker="+addresses[1]), nil)
	if c.workers[0].name != "kafka://"+addresses[0] {
		t.Errorf("the sink is called %s", c.workers[0].name)
	}
	running(t, c)
	const organizations, each = 5, 60
	var work sync.WaitGroup
	for i := range organizations {
		work.Go(func() {
			for j := range each {
				add(t, s, fmt.Sprint("org-", i), fmt.Sprintf("%d.%d", i, j))
			}
		})
	}
	for node, address := range addresses {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		var number int
		if _, err := fmt.Sscan(port, &number); err != nil {
			t.Fatal(err)
		}
		if err := cluster.RemoveNode(int32(node)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // any moment will do
		if _, _, err := cluster.AddNode(int32(node), number); err != nil {
			t.Fatal(err)
		}
	}
	work.Wait()
	at, last := map[string]int32{}, map[string]int{}
	for partition, records := range consume(t, Topic, organizations*each, kgo.SeedBrokers(cluster.ListenAddrs()...)) {
		for _, r := range records {
			organization := string(r.Key)
			if where, known := at[organization]; known && where != partition {
				t.Errorf("%s is in two partitions", organization)
			}
			at[organization] = partition
			e := audittest.Check(t, r.Value)
			if e.PartitionKey != organization {
				t.Errorf("the key is %q: %s", organization, r.Value)
			}
			if len(r.Headers) != 1 || r.Headers[0].Key != "content-type" || !strings.HasPrefix(string(r.Headers[0].Value), "application/cloudevents+json") {
				t.Errorf("the headers are %v", r.Headers)
			}
			var i, j int
			if _, err := fmt.Sscanf(e.ID, "%d.%d", &i, &j); err != nil {
				t.Fatal(err)
			}
			if j > last[organization] {
				t.Errorf("%s comes too early, after %d others", e.ID, last[organization])
			}
			if j == last[organization] {
				last[organization]++
			}
		}
	}
	for organization, n := range last {
		if n != each {
			t.Errorf("%d events of %s came, want %d", n, organization, each)
		}
	}
	if len(last) != organizations {
		t.Errorf("the keys are %v", last)
	}
}

// A broker that asks who one is.
func TestKafkaSignsIn(t *testing.T) {
	t.Parallel()
	for parameter, method := range map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"), kfake.EnableSASL(), kfake.Superuser(method, "weir", "p@ss/word"))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		for password, good := range map[string]bool{"p@ss/word": true, "wrong": false} {
			u := url.URL{
				Scheme: "kafka", User: url.UserPassword("weir", password), Host: cluster.ListenAddrs()[0], Path: "/events",
				RawQuery: url.Values{"sasl": {parameter}}.Encode(),
			}
			p, err := ParseSink(u.String())
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(p.Name, "word") || strings.Contains(p.Name, "wrong") {
				t.Errorf("the password is in the name: %s", p.Name)
			}
			sink, err := p.open(Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err = sink.Deliver(ctx, []Message{{Org: "org", Body: []byte("{}")}})
			cancel()
			if (err == nil) != good {
				t.Errorf("%s, good password %v: %v", parameter, good, err)
			}
			if err := sink.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A broker that takes records and never answers holds a delivery up until its
// context ends, and no longer; the next one goes through.
func TestKafkaThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	release, asked := make(chan struct{}), make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(asked)
		<-release
		return nil, errors.New("no answer"), true
	})
	p, err := ParseSink("kafka://" + cluster.ListenAddrs()[0] + "/events")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := p.open(Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := sink.Deliver(ctx, []Message{{Org: "org", Body: []byte("{}")}}); err == nil {
		t.Error("what was not answered counts as delivered")
	}
	close(release)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if n, err := sink.Deliver(ctx, []Message{{Org: "org", Body: []byte("{}")}}); n != 1 || err != nil {
		t.Errorf("the delivery after it: %d, %v", n, err)
	}
}
