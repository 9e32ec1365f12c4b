# A Cloud API key and one for Tableflow that a service account owns.

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

resource "confluent_api_key" "tableflow" {
  display_name = var.name
  description  = "Opens Tableflow to the pipeline"

  owner {
    id          = confluent_service_account.owner.id
    api_version = confluent_service_account.owner.api_version
    kind        = confluent_service_account.owner.kind
  }

  managed_resource {
    id          = "tableflow"
    api_version = "tableflow/v1"
    kind        = "Tableflow"
  }
}

output "owner" {
  value = confluent_service_account.owner.id
}

output "key" {
  value     = confluent_api_key.cloud
  sensitive = true
}

output "tableflow" {
  value     = confluent_api_key.tableflow
  sensitive = true
}
