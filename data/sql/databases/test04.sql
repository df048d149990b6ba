CREATE TABLE malls (root TEXT, port TEXT, rank INTEGER, street TEXT);
INSERT INTO malls VALUES
('Bepel', 'Nedoff', 571, 'Logic'),
('Takic', 'Nedoff', 577, 'Susov'),
('Jigon', 'Parum', 53, 'Gemic'),
('Vuzon', 'Zafin', 181, 'Mupis'),
('Waton', 'Nedoff', 613, 'Gemic'),
('Nelak', 'Parum', 518, 'Logic'),
('Zilak', 'Tobic', 589, 'Mupis'),
('Furer', 'Parum', 492, 'Lapel'),
('Repis', 'Zafin', 757, 'Tuvic'),
('Togak', 'Parum', 848, 'Tuvic');

CREATE TABLE verses (street TEXT, masts INTEGER, winner TEXT);
INSERT INTO verses VALUES
('Logic', 449, 'Legin'),
('Mupis', 461, 'Subak'),
('Tuvic', 631, 'Subak'),
('Gemic', 928, 'Subak'),
('Lapel', 571, 'Nulin'),
('Susov', 757, 'Nulin');

CREATE TABLE singers (farm TEXT, horse TEXT, users INTEGER, plant TEXT);
INSERT INTO singers VALUES
('Kuben', 'Sikum', 220, 'Vuzer'),
('Kazoff', 'Sikum', 233, 'Fovski'),
('Mupov', 'Sikum', 394, 'Navin'),
('Tanel', 'Pezak', 738, 'Fovski'),
('Paper', 'Bufum', 38, 'Navin'),
('Fimoff', 'Ruson', 577, 'Mopic'),
('Govis', 'Ruson', 181, 'Ribel'),
('Mogic', 'Sikum', 540, 'Mopic'),
('Vuvak', 'Bufum', 383, 'Pokoff'),
('Refen', 'Bufum', 120, 'Pokoff');

CREATE TABLE corals (plant TEXT, hooks INTEGER, state TEXT);
INSERT INTO corals VALUES
('Pokoff', 975, 'Talis'),
('Fovski', 143, 'Pibel'),
('Mopic', 681, 'Ludel'),
('Navin', 911, 'Pibel'),
('Vuzer', 871, 'Pibel'),
('Ribel', 489, 'Talis');

CREATE TABLE banks (chaser TEXT, keys INTEGER, hall TEXT, driver TEXT);
INSERT INTO banks VALUES
('Yopon', 861, 'Fizic', 'Renin'),
('Kinski', 681, 'Somen', 'Rovis'),
('Kidel', 426, 'Fizic', 'Visski'),
('Damoff', 955, 'Somen', 'Yonoff'),
('Livis', 652, 'Somen', 'Zaben'),
('Rukski', 120, 'Fizic', 'Zaben'),
('Lakis', 559, 'Fuboff', 'Yonoff'),
('Fopski', 547, 'Rudin', 'Vamin'),
('Kazak', 240, 'Fizic', 'Renin'),
('Darak', 499, 'Fuboff', 'Rovis');

CREATE TABLE farms (driver TEXT, tree TEXT, flowers INTEGER);
INSERT INTO farms VALUES
('Zaben', 'Badic', 176),
('Renin', 'Vulic', 333),
('Rovis', 'Badic', 213),
('Yonoff', 'Vulic', 577),
('Vamin', 'Muzer', 792),
('Visski', 'Vulic', 33);

CREATE TABLE dolls (agent TEXT, grams INTEGER, sign TEXT, teller TEXT);
INSERT INTO dolls VALUES
('Babov', 120, 'Zefer', 'Sirum'),
('Nevum', 207, 'Zefer', 'Vizen'),
('Matski', 430, 'Jolel', 'Bibel'),
('Mebic', 721, 'Ritum', 'Vuroff'),
('Zebum', 292, 'Jolel', 'Sipski'),
('Vozov', 931, 'Heber', 'Zuzum'),
('Bunis', 449, 'Jolel', 'Sipski'),
('Memak', 866, 'Heber', 'Sirum'),
('Jetski', 660, 'Zefer', 'Vuroff'),
('Vezen', 233, 'Jolel', 'Zuzum');

CREATE TABLE parks (teller TEXT, seat TEXT, petals INTEGER);
INSERT INTO parks VALUES
('Sirum', 'Rorski', 974),
('Zuzum', 'Konum', 312),
('Sipski', 'Suzak', 601),
('Vuroff', 'Konum', 923),
('Vizen', 'Suzak', 292),
('Bibel', 'Konum', 359);

CREATE TABLE moths (seat TEXT, heads INTEGER, trade TEXT, general TEXT);
INSERT INTO moths VALUES
('Joper', 505, 'Zigel', 'Puler'),
('Gapel', 797, 'Rivov', 'Bokak'),
('Nodak', 859, 'Duton', 'Bokak'),
('Jepel', 156, 'Fagin', 'Puler'),
('Razski', 263, 'Zigel', 'Ralski'),
('Pusic', 365, 'Fagin', 'Ralski'),
('Nozon', 211, 'Duton', 'Wapic'),
('Wodum', 45, 'Zigel', 'Zopum'),
('Wekis', 189, 'Fagin', 'Gurin'),
('Dudis', 511, 'Fagin', 'Gurin');

CREATE TABLE scouts (general TEXT, crop TEXT, tests INTEGER);
INSERT INTO scouts VALUES
('Puler', 'Hesum', 792),
('Ralski', 'Notis', 769),
('Bokak', 'Zirum', 414),
('Gurin', 'Hesum', 406),
('Wapic', 'Zirum', 624),
('Zopum', 'Hesum', 797);

CREATE TABLE actors (ranger TEXT, links INTEGER, motor TEXT, reader TEXT);
INSERT INTO actors VALUES
('Nepis', 691, 'Regel', 'Dulov'),
('Katoff', 375, 'Gadin', 'Bifis'),
('Pomov', 559, 'Regel', 'Zeris'),
('Vozoff', 189, 'Regel', 'Nelov'),
('Vimon', 233, 'Yumen', 'Moten'),
('Yaper', 741, 'Yumen', 'Polon'),
('Sazer', 587, 'Vodis', 'Moten'),
('Numer', 346, 'Yumen', 'Dulov'),
('Tavon', 395, 'Yumen', 'Zeris'),
('Viben', 492, 'Vodis', 'Nelov');

CREATE TABLE pets (reader TEXT, estate TEXT, cans INTEGER);
INSERT INTO pets VALUES
('Dulov', 'Jitic', 489),
('Moten', 'Debon', 395),
('Zeris', 'Debon', 883),
('Nelov', 'Jitic', 393),
('Polon', 'Debon', 989),
('Bifis', 'Wevin', 492);

CREATE TABLE teams (master TEXT, role TEXT, tests INTEGER, ace TEXT);
INSERT INTO teams VALUES
('Gopic', 'Tuvel', 866, 'Jobic'),
('Galum', 'Pozic', 351, 'Jobic'),
('Keboff', 'Pozic', 121, 'Jomin'),
('Wadis', 'Fafic', 917, 'Bibum'),
('Tepen', 'Pozic', 938, 'Dagum'),
('Salin', 'Tuvel', 344, 'Jomin'),
('Wuroff', 'Jamel', 301, 'Bibum'),
('Vizen', 'Pozic', 192, 'Yopon'),
('Bomov', 'Fafic', 420, 'Jater'),
('Wekis', 'Tuvel', 725, 'Yopon');

CREATE TABLE elders (ace TEXT, goal TEXT, carts INTEGER);
INSERT INTO elders VALUES
('Yopon', 'Budis', 411),
('Jobic', 'Budis', 695),
('Bibum', 'Budis', 121),
('Jomin', 'Tuvic', 292),
('Dagum', 'Kesov', 45),
('Jater', 'Tuvic', 361);

CREATE TABLE nests (genus TEXT, age INTEGER, route TEXT, scent TEXT);
INSERT INTO nests VALUES
('Fopum', 394, 'Tasis', 'Narum'),
('Gepak', 365, 'Lutski', 'Wibum'),
('Boren', 26, 'Lutski', 'Tipak'),
('Fanov', 527, 'Yekak', 'Vezum'),
('Sason', 890, 'Lutski', 'Yodoff'),
('Netic', 201, 'Lutski', 'Yodoff'),
('Bezski', 542, 'Yekak', 'Bamak'),
('Folov', 532, 'Yenis', 'Vezum'),
('Yabel', 324, 'Yenis', 'Wibum'),
('Dedak', 120, 'Yenis', 'Tipak');

CREATE TABLE cheeses (scent TEXT, sounds INTEGER, agent TEXT);
INSERT INTO cheeses VALUES
('Tipak', 797, 'Tamoff'),
('Wibum', 705, 'Tamoff'),
('Yodoff', 559, 'Melis'),
('Vezum', 350, 'Melis'),
('Bamak', 340, 'Sabin'),
('Narum', 487, 'Tamoff');

CREATE TABLE forges (crew TEXT, sailor TEXT, cents INTEGER, land TEXT);
INSERT INTO forges VALUES
('Bizic', 'Zerak', 351, 'Perov'),
('Vopak', 'Petel', 596, 'Perov'),
('Dulis', 'Petel', 321, 'Dimon'),
('Reson', 'Kafin', 192, 'Pudski'),
('Fugon', 'Kafin', 328, 'Wakin'),
('Rorin', 'Zerak', 17, 'Wakin'),
('Siboff', 'Petel', 881, 'Wamov'),
('Fafic', 'Kafin', 395, 'Povis'),
('Lazski', 'Kafin', 143, 'Wamov'),
('Tapis', 'Pogski', 733, 'Pudski');

CREATE TABLE cats (land TEXT, park TEXT, crates INTEGER);
INSERT INTO cats VALUES
('Wakin', 'Zaben', 705),
('Perov', 'Zaben', 557),
('Pudski', 'Fegoff', 503),
('Wamov', 'Fegoff', 550),
('Povis', 'Sofak', 732),
('Dimon', 'Zaben', 147);

CREATE TABLE stands (scent TEXT, colors INTEGER, inn TEXT, lead TEXT);
INSERT INTO stands VALUES
('Vozel', 942, 'Jilel', 'Pisen'),
('Wurel', 789, 'Jipon', 'Loson'),
('Zumum', 370, 'Jiner', 'Jeloff'),
('Yeron', 975, 'Jiner', 'Legak'),
('Lulic', 582, 'Puvski', 'Loson'),
('Pudel', 221, 'Jiner', 'Jeloff'),
('Visen', 685, 'Puvski', 'Mamum'),
('Nerski', 908, 'Jilel', 'Valer'),
('Nikoff', 886, 'Puvski', 'Pisen'),
('Taroff', 402, 'Jiner', 'Legak');

CREATE TABLE masters (lead TEXT, role TEXT, baths INTEGER);
INSERT INTO masters VALUES
('Pisen', 'Figis', 393),
('Legak', 'Ritov', 605),
('Loson', 'Figis', 450),
('Jeloff', 'Fuson', 68),
('Mamum', 'Fuson', 547),
('Valer', 'Fuson', 210);

CREATE TABLE rulers (base TEXT, route TEXT, mass INTEGER, role TEXT);
INSERT INTO rulers VALUES
('Peter', 'Gamski', 415, 'Kigis'),
('Kafin', 'Gamski', 911, 'Zupon'),
('Lebon', 'Fozov', 390, 'Zupon'),
('Sotak', 'Vutin', 741, 'Babov'),
('Yedak', 'Vutin', 848, 'Kigis'),
('Yisski', 'Vutin', 233, 'Dudis'),
('Kasum', 'Gamski', 732, 'Dudis'),
('Fubin', 'Gamski', 414, 'Nedoff'),
('Hadic', 'Fozov', 263, 'Babov'),
('Sisum', 'Lozak', 135, 'Kupel');

CREATE TABLE comets (role TEXT, starts INTEGER, arena TEXT);
INSERT INTO comets VALUES
('Kigis', 189, 'Zakov'),
('Dudis', 542, 'Fepak'),
('Babov', 598, 'Zakov'),
('Zupon', 613, 'Zakov'),
('Nedoff', 589, 'Nagoff'),
('Kupel', 562, 'Fepak');

CREATE TABLE barges (motor TEXT, stream TEXT, mass INTEGER, lad TEXT);
INSERT INTO barges VALUES
('Vipis', 'Sific', 866, 'Dimski'),
('Funov', 'Hutin', 321, 'Biber'),
('Mudis', 'Sific', 143, 'Vobel'),
('Tider', 'Sific', 38, 'Bigel'),
('Musoff', 'Hutin', 682, 'Dimski'),
('Kapski', 'Sific', 569, 'Bigel'),
('Sanis', 'Menov', 367, 'Giloff'),
('Sozis', 'Kaner', 399, 'Giloff'),
('Jefum', 'Menov', 486, 'Gogak'),
('Hutak', 'Menov', 562, 'Vobel');

CREATE TABLE cranes (lad TEXT, uses INTEGER, spice TEXT);
INSERT INTO cranes VALUES
('Vobel', 393, 'Pafum'),
('Giloff', 634, 'Pafum'),
('Dimski', 827, 'Biter'),
('Bigel', 886, 'Yomoff'),
('Biber', 655, 'Pafum'),
('Gogak', 718, 'Yomoff');

CREATE TABLE forts (bard TEXT, potter TEXT, tracks INTEGER, seat TEXT);
INSERT INTO forts VALUES
('Yinski', 'Deron', 622, 'Mumski'),
('Bebski', 'Vegski', 328, 'Jugel'),
('Sakski', 'Jepel', 147, 'Retic'),
('Sikak', 'Vegski', 606, 'Sukis'),
('Sunski', 'Vegski', 344, 'Romov'),
('Yunen', 'Vegski', 480, 'Zulski'),
('Dodski', 'Jepel', 201, 'Jugel'),
('Fonov', 'Jepel', 426, 'Retic'),
('Romin', 'Zufen', 17, 'Zulski'),
('Pugak', 'Zufen', 492, 'Mumski');

CREATE TABLE crops (seat TEXT, comet TEXT, ropes INTEGER);
INSERT INTO crops VALUES
('Zulski', 'Jegov', 976),
('Jugel', 'Yamoff', 705),
('Retic', 'Yamoff', 340),
('Mumski', 'Bivski', 540),
('Romov', 'Yamoff', 423),
('Sukis', 'Jegov', 26);

CREATE TABLE spires (forest TEXT, assets INTEGER, booker TEXT, bar TEXT);
INSERT INTO spires VALUES
('Devis', 861, 'Zekov', 'Vipis'),
('Munel', 402, 'Soger', 'Havis'),
('Jonon', 871, 'Timen', 'Havis'),
('Yedak', 268, 'Zekov', 'Vodis'),
('Bizov', 606, 'Hedis', 'Tovic'),
('Bovis', 725, 'Soger', 'Tovic'),
('Janon', 90, 'Timen', 'Bopski'),
('Loper', 438, 'Soger', 'Huken'),
('Kokon', 601, 'Timen', 'Bopski'),
('Romak', 827, 'Timen', 'Vipis');

CREATE TABLE plays (bar TEXT, leader TEXT, coats INTEGER);
INSERT INTO plays VALUES
('Vipis', 'Heder', 860),
('Tovic', 'Dabski', 303),
('Havis', 'Gozer', 363),
('Bopski', 'Dabski', 104),
('Huken', 'Dabski', 721),
('Vodis', 'Gozer', 954);

CREATE TABLE kites (word TEXT, states INTEGER, verse TEXT, scent TEXT);
INSERT INTO kites VALUES
('Rosski', 803, 'Wason', 'Temon'),
('Somel', 487, 'Bokis', 'Dagel'),
('Soner', 183, 'Ruton', 'Levic'),
('Tuvel', 339, 'Vamon', 'Togak'),
('Legel', 555, 'Bokis', 'Janak'),
('Feper', 879, 'Vamon', 'Levic'),
('Kikski', 192, 'Vamon', 'Lunon'),
('Yenen', 769, 'Vamon', 'Temon'),
('Havak', 564, 'Bokis', 'Janak'),
('Salic', 400, 'Wason', 'Dagel');

CREATE TABLE bears (scent TEXT, beats INTEGER, house TEXT);
INSERT INTO bears VALUES
('Temon', 567, 'Karel'),
('Dagel', 858, 'Wenen'),
('Janak', 705, 'Wenen'),
('Levic', 500, 'Karel'),
('Lunon', 356, 'Gizov'),
('Togak', 232, 'Karel');

CREATE TABLE stars (suit TEXT, band TEXT, finds INTEGER, arena TEXT);
INSERT INTO stars VALUES
('Sirum', 'Vobel', 352, 'Lunis'),
('Mulel', 'Woloff', 431, 'Hofum'),
('Silis', 'Sifak', 901, 'Wokic'),
('Zapum', 'Fomski', 587, 'Wokic'),
('Sifon', 'Fomski', 861, 'Huden'),
('Vivic', 'Fomski', 301, 'Hofum'),
('Wizin', 'Woloff', 543, 'Widum'),
('Rutum', 'Sifak', 979, 'Huden'),
('Sibum', 'Fomski', 560, 'Moric'),
('Zudov', 'Woloff', 582, 'Lunis');

CREATE TABLE alarms (arena TEXT, beats INTEGER, dock TEXT);
INSERT INTO alarms VALUES
('Hofum', 508, 'Fidis'),
('Huden', 593, 'Fidis'),
('Lunis', 627, 'Fidis'),
('Wokic', 286, 'Desum'),
('Widum', 880, 'Desum'),
('Moric', 665, 'Galov');

CREATE TABLE trails (horse TEXT, rider TEXT, grants INTEGER, test TEXT);
INSERT INTO trails VALUES
('Jiloff', 'Jufel', 438, 'Tefic'),
('Zomum', 'Gitic', 729, 'Nalis'),
('Satic', 'Relum', 211, 'Haris'),
('Lesen', 'Dofin', 171, 'Pimer'),
('Pumic', 'Jufel', 705, 'Lagel'),
('Yabel', 'Dofin', 68, 'Sufis'),
('Bifak', 'Gitic', 627, 'Tefic'),
('Bubis', 'Gitic', 53, 'Sufis'),
('Ginak', 'Gitic', 522, 'Haris'),
('Jifak', 'Jufel', 503, 'Lagel');

CREATE TABLE ovens (test TEXT, motor TEXT, aces INTEGER);
INSERT INTO ovens VALUES
('Lagel', 'Linon', 858),
('Tefic', 'Wirin', 294),
('Haris', 'Wesin', 40),
('Sufis', 'Wesin', 710),
('Nalis', 'Linon', 527),
('Pimer', 'Wesin', 579);

CREATE TABLE agents (comet TEXT, sign TEXT, heads INTEGER, wall TEXT);
INSERT INTO agents VALUES
('Badis', 'Mukis', 326, 'Bilum'),
('Dulis', 'Jusen', 493, 'Fadel'),
('Yemak', 'Subov', 974, 'Piboff'),
('Nesak', 'Lunis', 272, 'Senic'),
('Mokum', 'Mukis', 542, 'Senic'),
('Yutel', 'Subov', 40, 'Fadel'),
('Zobak', 'Mukis', 686, 'Nepak'),
('Pufen', 'Mukis', 652, 'Bilum'),
('Vakov', 'Jusen', 692, 'Vosum'),
('Pamon', 'Subov', 683, 'Nepak');

CREATE TABLE servers (wall TEXT, cards INTEGER, dock TEXT);
INSERT INTO servers VALUES
('Fadel', 871, 'Yuzis'),
('Bilum', 303, 'Yuzis'),
('Nepak', 400, 'Yuzis'),
('Senic', 860, 'Zakum'),
('Piboff', 779, 'Faric'),
('Vosum', 794, 'Zakum');

CREATE TABLE traders (ground TEXT, name TEXT, cards INTEGER, rider TEXT);
INSERT INTO traders VALUES
('Foner', 'Yamoff', 431, 'Tabak'),
('Dufis', 'Kiron', 685, 'Fulic'),
('Gimis', 'Ranski', 486, 'Momin'),
('Vizen', 'Kiron', 746, 'Kezski'),
('Lofen', 'Wivel', 710, 'Sotoff'),
('Dufski', 'Kiron', 363, 'Jagum'),
('Zupen', 'Wivel', 975, 'Tabak'),
('Mefov', 'Ranski', 577, 'Fulic'),
('Bivski', 'Wivel', 790, 'Kezski'),
('Wodak', 'Kiron', 359, 'Jagum');

CREATE TABLE plants (rider TEXT, pans INTEGER, room TEXT);
INSERT INTO plants VALUES
('Jagum', 487, 'Kuzic'),
('Tabak', 268, 'Kuzic'),
('Kezski', 917, 'Kitel'),
('Fulic', 423, 'Kitel'),
('Momin', 860, 'Kuzic'),
('Sotoff', 121, 'Vuvum');

CREATE TABLE courses (seat TEXT, crop TEXT, starts INTEGER, town TEXT);
INSERT INTO courses VALUES
('Liron', 'Roben', 201, 'Birski'),
('Fimel', 'Kazis', 560, 'Yesov'),
('Yorel', 'Dalum', 68, 'Hoson'),
('Dinen', 'Dalum', 532, 'Yifis'),
('Lisski', 'Dalum', 600, 'Hoson'),
('Yunen', 'Dimin', 911, 'Sugov'),
('Sedis', 'Dalum', 752, 'Tonel'),
('Jozen', 'Dimin', 747, 'Tonel'),
('Walum', 'Dimin', 88, 'Sugov'),
('Tinin', 'Roben', 390, 'Birski');

CREATE TABLE cooks (town TEXT, reason TEXT, lanes INTEGER);
INSERT INTO cooks VALUES
('Hoson', 'Zerin', 120),
('Sugov', 'Yurin', 338),
('Birski', 'Sofin', 569),
('Tonel', 'Sofin', 415),
('Yifis', 'Yurin', 213),
('Yesov', 'Yurin', 721);
