# Two authorities that sign certificates of workloads: one with a list of what it
# revoked, without which nobody is let in. Put your own certificates here.

variable "name" {
  default = "workloads"
}

variable "filename" {
  default = "workloads.pem"
}

locals {
  plain   = <<-EOT
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
  strict  = <<-EOT
    -----BEGIN CERTIFICATE-----
    MIIBuDCCAV2gAwIBAgIUNsVQeVvgLTzh53nfw0kSeHPBlcMwCgYIKoZIzj0EAwIw
    KDEQMA4GA1UECgwHRXhhbXBsZTEUMBIGA1UEAwwLd29ya2xvYWRzIGIwIBcNMjYx
    MTI2MDMyMTAyWhgPMjEyNjExMDIwMzIxMDJaMCgxEDAOBgNVBAoMB0V4YW1wbGUx
    FDASBgNVBAMMC3dvcmtsb2FkcyBiMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
    fUizthWIXDMzWnoLtEd9F7dGehUg/d90TJV0Zn/UXYcJKVY51DjLl7QYS9M3gbbC
    GCIYrimixykbf4KeR0gNbKNjMGEwHQYDVR0OBBYEFFd3vekrK+sgXuLpEAszqaUf
    1veRMB8GA1UdIwQYMBaAFFd3vekrK+sgXuLpEAszqaUf1veRMA8GA1UdEwEB/wQF
    MAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0kAMEYCIQCZ2b+qxl7W
    yDuI656ntP0Guv52JSLMrgIhUfiWdbjmBAIhAJSk3qAa0/4WhPQokAE+KmoDCNEy
    s/IdX8/bpCjlq7xo
    -----END CERTIFICATE-----
  EOT
  revoked = <<-EOT
    -----BEGIN X509 CRL-----
    MIHBMGkCAQEwCgYIKoZIzj0EAwIwKDEQMA4GA1UECgwHRXhhbXBsZTEUMBIGA1UE
    AwwLd29ya2xvYWRzIGIXDTI2MTEyNjAzMjEwMloYDzIxMjYxMTAyMDMyMTAyWqAO
    MAwwCgYDVR0UBAMCAQEwCgYIKoZIzj0EAwIDSAAwRQIhALaEJskVwbS9FFFUgs8b
    i8tQ8nBnrlA+iv65SufRwVHRAiAsaxC9lX2MxVs5UyLZ9wEpqo8K36+qjoXQS+Hm
    h0KUhg==
    -----END X509 CRL-----
  EOT
}

resource "confluent_certificate_authority" "plain" {
  display_name               = var.name
  description                = "Signs the certificates of our services"
  certificate_chain          = local.plain
  certificate_chain_filename = var.filename
}

resource "confluent_certificate_authority" "strict" {
  display_name                      = "${var.name}-strict"
  description                       = "Signs the certificates of our services"
  certificate_chain                 = local.strict
  certificate_chain_filename        = "strict.pem"
  crl_chain                         = local.revoked
  require_crl_on_client_certificate = true
}

data "confluent_certificate_authority" "by_id" {
  id = confluent_certificate_authority.strict.id
}

output "plain" {
  value = {
    id           = confluent_certificate_authority.plain.id
    display_name = confluent_certificate_authority.plain.display_name
    filename     = confluent_certificate_authority.plain.certificate_chain_filename
    crl_url      = confluent_certificate_authority.plain.crl_url
    fingerprints = confluent_certificate_authority.plain.fingerprints
  }
}

output "strict" {
  value = {
    id           = confluent_certificate_authority.strict.id
    display_name = confluent_certificate_authority.strict.display_name
    crl_source   = confluent_certificate_authority.strict.crl_source
    crl_url      = confluent_certificate_authority.strict.crl_url
    fingerprints = confluent_certificate_authority.strict.fingerprints
  }
}

output "by_id" {
  value = data.confluent_certificate_authority.by_id
}
