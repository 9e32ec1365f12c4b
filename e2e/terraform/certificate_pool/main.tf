# A pool of workloads with certificates of an authority, which holds a role.

variable "filter" {
  default = "O == \"Example\" && OU == \"shop\""
}

variable "description" {
  default = "Services of the shop"
}

data "confluent_organization" "this" {}

resource "confluent_certificate_authority" "workloads" {
  display_name               = "workloads"
  description                = "Signs the certificates of our services"
  certificate_chain_filename = "workloads.pem"
  certificate_chain          = <<-EOT
    -----BEGIN CERTIFICATE-----
    MIIBtzCCAV2gAwIBAgIUCl78faJ6DN+qwlno1m6u4lO8A5gwCgYIKoZIzj0EAwIw
    KDEQMA4GA1UECgwHRXhhbXBsZTEUMBIGA1UEAwwLd29ya2xvYWRzIGEwIBcNMjYx
    MTI2MDMyMTAyWhgPMjEyNjExMDIwMzIxMDJaMCgxEDAOBgNVBAoMB0V4YW1wbGUx
    FDASBgNVBAMMC3dvcmtsb2FkcyBhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
    j2quhej44J/ZlybAgGQqPVzXyQDb1lyTBS7jPY8uFWHd1CaW5hcoUEa9bmq0OY2F
    aZm+0HMeScmu8o4qeMUl56NjMGEwHQYDVR0OBBYEFL0OpUaQvqCArLO/FyfVL+f9
    FwbYMB8GA1UdIwQYMBaAFL0OpUaQvqCArLO/FyfVL+f9FwbYMA8GA1UdEwEB/wQF
    MAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0gAMEUCICquUEgFbU/q
    6wswIyJnivDFfK2yISty0wZQ1oz7wFDjAiEA20qEnrw1zB6syqE+VXs+F0/j0jCA
    xyONUNuxgFllFi8=
    -----END CERTIFICATE-----
  EOT
}

resource "confluent_certificate_pool" "shop" {
  certificate_authority {
    id = confluent_certificate_authority.workloads.id
  }
  display_name        = "shop"
  description         = var.description
  external_identifier = "CN"
  filter              = var.filter
}

resource "confluent_role_binding" "shop" {
  principal   = "User:${confluent_certificate_pool.shop.id}"
  role_name   = "MetricsViewer"
  crn_pattern = data.confluent_organization.this.resource_name
}

resource "confluent_service_account" "owner" {
  display_name = "owner"
}

resource "confluent_role_binding" "owner" {
  principal   = "User:${confluent_service_account.owner.id}"
  role_name   = "ResourceOwner"
  crn_pattern = "${data.confluent_organization.this.resource_name}/certificate-identity-pool=${confluent_certificate_pool.shop.id}"
}

data "confluent_certificate_pool" "by_id" {
  id = confluent_certificate_pool.shop.id
  certificate_authority {
    id = confluent_certificate_authority.workloads.id
  }
}

data "confluent_certificate_pool" "by_name" {
  display_name = confluent_certificate_pool.shop.display_name
  certificate_authority {
    id = confluent_certificate_authority.workloads.id
  }
  depends_on = [confluent_certificate_pool.shop]
}

output "shop" {
  value = confluent_certificate_pool.shop
}

output "by_id" {
  value = data.confluent_certificate_pool.by_id
}

output "by_name" {
  value = data.confluent_certificate_pool.by_name
}
