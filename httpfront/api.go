package httpfront

import (
	"bytes"
	"encoding/json"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/api"
	"stap-exporter/internal/cpulimit"
	"stap-exporter/internal/scrape"
)

// Paths of the status API. Package api has its replies.
const (
	apiList       = "/api/v1/scripts"
	apiEventsPath = "/api/v1/events"
)

var apiScripts = []byte(apiList + "/")

// apiRoute returns the route of /api/v1/scripts/REST. rest belongs to the
// request. A script's name has no slash; an action follows the first one.
func (s *Server) apiRoute(rest []byte) route {
	name, action, found := bytes.Cut(rest, []byte("/"))
	if !found {
		return route{get: func(ctx *fasthttp.RequestCtx) { s.apiScript(ctx, name) }}
	}
	if act, ok := s.action(string(name), string(action)); ok {
		return route{post: act}
	}
	return route{get: apiNotFound, post: apiNotFound}
}

// apiList sends all scripts.
func (s *Server) apiList(ctx *fasthttp.RequestCtx) {
	s.share(ctx, apiList, func() *page {
		reply := api.ScriptList{Scripts: []api.Script{}}
		osPIDs := s.osPIDs() // may wait for a scan, so before the permit
		defer cpulimit.Acquire()()
		for _, st := range s.cfg.Scripts.Statuses() {
			reply.Scripts = append(reply.Scripts, api.NewScript(st, s.runtimeOf(&st.Script), osPIDs))
		}
		return jsonPage(fasthttp.StatusOK, reply)
	})
}

// apiScript sends the script called name.
func (s *Server) apiScript(ctx *fasthttp.RequestCtx, name []byte) {
	st := s.status(string(name))
	if st == nil {
		apiNotFound(ctx)
		return
	}
	s.share(ctx, apiList+"/"+st.Script.Name, func() *page {
		now := s.status(st.Script.Name)
		if now == nil {
			return jsonPage(fasthttp.StatusNotFound, api.Error{Error: "script not found"})
		}
		return jsonPage(fasthttp.StatusOK, api.NewScriptDetail(now, s.runtimeOf(&now.Script), s.osPIDs()))
	})
}

// status returns the status of the script called name, nil when there is none.
func (s *Server) status(name string) *scrape.Status {
	for _, st := range s.cfg.Scripts.Statuses() {
		if st.Script.Name == name {
			return st
		}
	}
	return nil
}

func apiNotFound(ctx *fasthttp.RequestCtx) {
	writeJSON(ctx, fasthttp.StatusNotFound, api.Error{Error: "script not found"})
}

// osPIDs scans the processes once, for all scripts of a reply.
func (s *Server) osPIDs() func(leader int) []int {
	if s.cfg.OSPIDs == nil {
		return func(int) []int { return nil }
	}
	return s.cfg.OSPIDs()
}

// apiEvents sends the last events of all scripts.
func (s *Server) apiEvents(ctx *fasthttp.RequestCtx) {
	s.share(ctx, apiEventsPath, func() *page {
		defer cpulimit.Acquire()()
		body, err := json.Marshal(api.EventList{Events: s.cfg.Events()})
		if err != nil {
			panic(err) // a bug: all fields can be marshaled
		}
		return &page{code: fasthttp.StatusOK, contentType: applicationJSON, body: body}
	})
}
