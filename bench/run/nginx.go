package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"stap-exporter/bench/body"
)

const nginxConfig = `
daemon off;
pid %[1]s/pid;
error_log stderr crit;
user root;
worker_processes auto;
worker_rlimit_nofile 15000;
events { worker_connections 12000; }
http {
	access_log off;
	default_type text/plain;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	open_file_cache max=100;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server { listen %[2]s; root %[1]s; gzip_static on; }
}
`

// startNginx starts nginx with the text in a file and its gzip form in another.
func (b *bench) startNginx(ctx context.Context, size int) (*child, error) {
	dir, err := os.MkdirTemp(b.scratch, "nginx")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	text := body.NewTemplate(size).Text(1, 1)
	file := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	zipped, err := os.Create(file + ".gz")
	if err != nil {
		return nil, err
	}
	w, _ := gzip.NewWriterLevel(zipped, gzip.BestSpeed) // the level is valid
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, address), 0o644); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "bin/peers/usr/sbin/nginx" // where "need bench" unpacks it
	}
	c, err := start(ctx, "nginx", "", nil, os.Stderr, program, "-e", "stderr", "-c", config, "-p", dir)
	if err != nil {
		return nil, err
	}
	c.address = address
	if err := c.waitFor(ctx, path, 10*time.Second); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}
