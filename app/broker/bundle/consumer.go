// Print a Northbound feed, one record a line: go mod tidy && go run . alerts
// A second argument is how many records to print; the group is <prefix>go. A record counts as read
// when it has been printed: after a crash some may come again, drop those whose metadata.uid you have.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

type bundle struct {
	Kafka  map[string]any    `json:"kafka"`
	Topics map[string]string `json:"topics"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "Refused:", err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile("northbound.json")
	if err != nil {
		return fmt.Errorf("%w; run this in the bundle's folder", err)
	}
	var given bundle
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	value := func(key string) string { found, _ := given.Kafka[key].(string); return found }
	topic, count := "alerts", 0
	if len(os.Args) > 1 {
		topic = os.Args[1]
	}
	if len(os.Args) > 2 {
		if count, err = strconv.Atoi(os.Args[2]); err != nil {
			return err
		}
	}
	if full, known := given.Topics[topic]; known {
		topic = full
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := value("ssl.ca.location"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate", file)
		}
	}
	group := value("group.id")
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(value("bootstrap.servers"), ",")...),
		kgo.ClientID(value("client.id")),
		kgo.ConsumerGroup(group[:strings.LastIndex(group, ".")+1]+"go"),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(60*time.Second),
		kgo.DialTLSConfig(settings),
		kgo.DisableAutoCommit(),
	}
	if file := value("ssl.certificate.location"); file != "" {
		own, err := tls.LoadX509KeyPair(file, value("ssl.key.location"))
		if err != nil {
			return err
		}
		settings.Certificates = []tls.Certificate{own}
	} else {
		login := scram.Auth{User: value("sasl.username"), Pass: value("sasl.password")}
		mechanism := login.AsSha256Mechanism()
		if value("sasl.mechanisms") == "SCRAM-SHA-512" {
			mechanism = login.AsSha512Mechanism()
		}
		options = append(options, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := bufio.NewWriter(os.Stdout)
	for printed := 0; count == 0 || printed < count; {
		fetches := client.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return nil
		}
		for _, failure := range fetches.Errors() {
			return fmt.Errorf("%s: %w", failure.Topic, failure.Err)
		}
		var done []*kgo.Record
		for _, record := range fetches.Records() {
			if count > 0 && printed >= count {
				break
			}
			if record.Value != nil {
				fmt.Fprintf(out, "%s\n", record.Value)
				printed++
			}
			done = append(done, record)
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := client.CommitRecords(ctx, done...); err != nil {
			return err
		}
	}
	return nil
}
