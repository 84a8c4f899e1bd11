# A gateway on each client of Nomad:
#
#   nomad job run -var image=registry.example.com/lbconsul:0.1.0 lbconsul.nomad.hcl
#
# The client has to allow so long a kill_timeout: client { max_kill_timeout = "310s" }.

variable "image" {
  type    = string
  default = "lbconsul:latest"
}

job "lbconsul" {
  type = "system"

  update {
    max_parallel = 1
    stagger      = "30s"
  }

  group "gateway" {
    network {
      mode = "host"
      port "http" { static = 80 }
      port "admin" { static = 9200 }
    }

    # Consul's health of the gateway is its readiness: where clients find gateways by
    # Consul, one that drains gets no new ones.
    service {
      name = "lbconsul"
      port = "http"

      check {
        type     = "http"
        port     = "admin"
        path     = "/readyz"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "gateway" {
      driver = "docker"

      config {
        image           = var.image
        network_mode    = "host"
        command         = "lbconsul"
        args            = ["run"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        cap_add         = ["net_bind_service"]
      }

      env {
        LBCONSUL_CONSUL = "127.0.0.1:8500"
        LBCONSUL_MAP    = "80:web,mode=http"
        LBCONSUL_ADMIN  = "0.0.0.0:9200"
        # For so long /readyz says no and clients are still accepted.
        LBCONSUL_SHUTDOWN_GRACE = "5s"
      }

      # shutdown-grace and drain-timeout (5 min), and some seconds more.
      kill_timeout = "310s"

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
