# A record set of the same name and type has to be imported first, and the values added that have to stay.
variable "zone_name" {
  type    = string
  default = "example.com"
}

variable "resource_group_name" {
  type        = string
  description = "The resource group of the zone"
}

resource "azurerm_dns_txt_record" "sales" {
  name                = "sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "postrider-domain-verification=0f8fad5b-d9cb-469f-a165-70867728950e"
  }

  record {
    value = "v=spf1 include:spf.mail.example.net -all"
  }
}

resource "azurerm_dns_txt_record" "postrider1_domainkey_sales" {
  name                = "postrider1._domainkey.sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "v=DKIM1; k=rsa; p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  }
}

resource "azurerm_dns_txt_record" "postrider2_domainkey_sales" {
  name                = "postrider2._domainkey.sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "v=DKIM1; k=rsa; p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  }
}

resource "azurerm_dns_txt_record" "postrider1_ed_domainkey_sales" {
  name                = "postrider1-ed._domainkey.sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
  }
}

resource "azurerm_dns_txt_record" "dmarc_sales" {
  name                = "_dmarc.sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "v=DMARC1; p=none"
  }
}

resource "azurerm_dns_mx_record" "bounce_sales" {
  name                = "bounce.sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    preference = 10
    exchange   = "mx.mail.example.net"
  }
}

resource "azurerm_dns_txt_record" "bounce_sales" {
  name                = "bounce.sales"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "v=spf1 include:spf.mail.example.net -all"
  }
}

resource "azurerm_dns_txt_record" "apex" {
  name                = "@"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "postrider-domain-verification=at-the-apex"
  }

  record {
    value = "v=spf1 include:spf.mail.example.net -all"
  }
}

resource "azurerm_dns_cname_record" "postrider1_domainkey" {
  name                = "postrider1._domainkey"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600
  record              = "postrider1.example.com.dkim.example.net"
}

resource "azurerm_dns_txt_record" "dmarc" {
  name                = "_dmarc"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "v=DMARC1; p=none"
  }
}

resource "azurerm_dns_a_record" "mx" {
  name                = "mx"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["192.0.2.1", "192.0.2.2"]
}

resource "azurerm_dns_aaaa_record" "mx" {
  name                = "mx"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600
  records             = ["2001:db8::1"]
}

resource "azurerm_dns_txt_record" "a_b" {
  name                = "a-b"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "it's \"quoted\" \\ $${zone} %%{if} \U00000009$${'x'}"
  }
}

resource "azurerm_dns_txt_record" "a_b_2" {
  name                = "a_b"
  zone_name           = var.zone_name
  resource_group_name = var.resource_group_name
  ttl                 = 3600

  record {
    value = "another one with the same identifier"
  }
}
