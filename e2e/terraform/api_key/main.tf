# A Cloud API key that a service account owns.

variable "name" {
  default = "ci"
}

resource "confluent_service_account" "owner" {
  display_name = "pipeline"
}

resource "confluent_api_key" "cloud" {
  display_name = var.name
  description  = "Lets the pipeline in as ${var.name}"

  owner {
    id          = confluent_service_account.owner.id
    api_version = confluent_service_account.owner.api_version
    kind        = confluent_service_account.owner.kind
  }
}

output "owner" {
  value = confluent_service_account.owner.id
}

output "key" {
  value     = confluent_api_key.cloud
  sensitive = true
}
